package sidecar

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"walpurge/dev/testbed"
)

// registerInput is an operation on one listing's title: a read, or a write of
// version.
type registerInput struct {
	listing, version int
	write            bool
}

// registers is the sequential specification: each listing holds the version
// that was written last, and first the one given.
func registers(first int) porcupine.Model {
	return porcupine.Model{
		Partition: partition(func(op porcupine.Operation) int { return op.Input.(registerInput).listing }),
		Init:      func() any { return first },
		Step: func(state, input, output any) (bool, any) {
			in := input.(registerInput)
			if in.write {
				return true, in.version
			}
			return output.(int) == state.(int), state
		},
	}
}

// partition splits a history into those of independent things.
func partition[K comparable](thing func(porcupine.Operation) K) func([]porcupine.Operation) [][]porcupine.Operation {
	return func(history []porcupine.Operation) (parts [][]porcupine.Operation) {
		byThing := map[K][]porcupine.Operation{}
		for _, op := range history {
			k := thing(op)
			byThing[k] = append(byThing[k], op)
		}
		for _, p := range byThing {
			parts = append(parts, p)
		}
		return parts
	}
}

// floorInput is an operation of one client on one listing: a read, or the
// moment from which the positions that the client carries cover a version. The
// version is the operation's output.
type floorInput struct {
	client, listing int
	covers          bool
}

// floors is the specification of reading one's writes (G3), for each client
// and listing by itself: a read shows the version that is covered by then, or
// a later one. A client's own write is covered once it has the position that
// came with the response, another's once its commit is known to end at or
// before the position. Nothing orders two reads: what one shows beyond the
// floor the next need not.
func floors() porcupine.Model {
	return porcupine.Model{
		Partition: partition(func(op porcupine.Operation) [2]int {
			in := op.Input.(floorInput)
			return [2]int{in.client, in.listing}
		}),
		Init: func() any { return 0 },
		Step: func(state, input, output any) (bool, any) {
			floor, version := state.(int), output.(int)
			if input.(floorInput).covers {
				return true, max(floor, version)
			}
			return version >= floor, floor
		},
	}
}

// history is what clients did, with the times of their calls.
type history struct {
	began time.Time
	mu    sync.Mutex
	ops   []porcupine.Operation
}

func (h *history) now() int64 { return int64(time.Since(h.began)) }

func (h *history) add(client int, in any, called int64, out int) {
	h.append(porcupine.Operation{ClientId: client, Input: in, Call: called, Output: out, Return: h.now()})
}

// lost adds an operation that may take effect at any time from its call on, or
// never.
func (h *history) lost(client int, in any, called int64) {
	h.append(porcupine.Operation{ClientId: client, Input: in, Call: called, Output: 0, Return: math.MaxInt64})
}

func (h *history) append(op porcupine.Operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, op)
}

// TestStrictReadsAreLinearizable records what writers and strict readers see
// and checks the history: every read must show the last write before it in
// some order that respects real time.
func TestStrictReadsAreLinearizable(t *testing.T) {
	const listings, writers, readers = 8, 4, 4
	duration, _ := trialOf(15*time.Second, 0)
	r := newRig(t, rigOptions{redis: testbed.SharedRedis(t), routes: strings.ReplaceAll(rigRoutes, "depends_on:", "consistency: strict\n    depends_on:")})
	for id := 1; id <= listings; id++ {
		r.insert(id, "v0", "Lagos", "house", 3, "100")
	}
	r.caughtUp()
	h := &history{began: time.Now()}
	done := func() bool { return time.Since(h.began) >= duration }
	var hits atomic.Int64
	g, ctx := errgroup.WithContext(t.Context())
	for w := range writers {
		g.Go(func() error {
			conn, err := pgx.Connect(ctx, r.dbURL)
			if err != nil {
				return err
			}
			defer conn.Close(context.WithoutCancel(ctx))
			rnd := rand.New(rand.NewPCG(3, uint64(w)))
			pace := time.NewTicker(10 * time.Millisecond)
			defer pace.Stop()
			for version := w + 1; !done(); version += writers { // no two writers write the same
				<-pace.C
				in := registerInput{listing: 1 + rnd.IntN(listings), version: version, write: true}
				called := h.now()
				if _, err := conn.Exec(ctx, `update listings set title = $2 where id = $1`, in.listing, fmt.Sprint("v", version)); err != nil {
					return err
				}
				h.add(w, in, called, 0)
			}
			return nil
		})
	}
	for n := range readers {
		g.Go(func() error {
			rnd := rand.New(rand.NewPCG(4, uint64(n)))
			for !done() {
				in := registerInput{listing: 1 + rnd.IntN(listings)}
				called := h.now()
				p, err := r.try(fmt.Sprintf("/api/listings/%d", in.listing))
				if err != nil {
					return err
				}
				if p.status != 200 {
					return fmt.Errorf("status %d: %s", p.status, p.body)
				}
				_, version, _ := nextItem([]byte(p.body), "title")
				h.add(writers+n, in, called, version)
				if p.hit() {
					hits.Add(1)
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	result := porcupine.CheckOperationsTimeout(registers(0), h.ops, time.Minute)
	testbed.Measured(t, "%d operations, %d strict hits: %s", len(h.ops), hits.Load(), result)
	if result != porcupine.Ok {
		t.Errorf("the history is not linearizable: %s", result)
	}
	if hits.Load() < 100 {
		t.Errorf("only %d hits: the test needs them", hits.Load())
	}
}

// TestCheckersFindAStaleRead: the checkers can say no.
func TestCheckersFindAStaleRead(t *testing.T) {
	const writer, reader = 0, 1
	write := porcupine.Operation{ClientId: writer, Input: registerInput{1, 1, true}, Call: 0, Return: 10}
	covers := porcupine.Operation{ClientId: reader, Input: floorInput{reader, 1, true}, Call: 0, Output: 2, Return: 10}
	for name, each := range map[string]struct {
		model porcupine.Model
		ops   []porcupine.Operation
		want  porcupine.CheckResult
	}{
		"a strict read of the old value after the write":  {registers(0), []porcupine.Operation{write, {ClientId: reader, Input: registerInput{listing: 1}, Call: 20, Output: 0, Return: 30}}, porcupine.Illegal},
		"a strict read of the old value during the write": {registers(0), []porcupine.Operation{write, {ClientId: reader, Input: registerInput{listing: 1}, Call: 5, Output: 0, Return: 30}}, porcupine.Ok},
		"a read below the position carried":               {floors(), []porcupine.Operation{covers, {ClientId: reader, Input: floorInput{reader, 1, false}, Call: 20, Output: 1, Return: 30}}, porcupine.Illegal},
		"a read above the position carried":               {floors(), []porcupine.Operation{covers, {ClientId: reader, Input: floorInput{reader, 1, false}, Call: 20, Output: 3, Return: 30}}, porcupine.Ok},
		"a read of who carries nothing":                   {floors(), []porcupine.Operation{covers, {ClientId: writer, Input: floorInput{writer, 1, false}, Call: 20, Output: 1, Return: 30}}, porcupine.Ok},
	} {
		if result := porcupine.CheckOperationsTimeout(each.model, each.ops, time.Minute); result != each.want {
			t.Errorf("%s: %s, want %s", name, result, each.want)
		}
	}
}

// TestLostWrite: a write whose outcome nobody knows may show or not, but what
// has shown it stays.
func TestLostWrite(t *testing.T) {
	h := history{began: time.Now()}
	h.lost(0, registerInput{1, 1, true}, 0)
	read := func(call int64, version int) {
		h.append(porcupine.Operation{ClientId: 1, Input: registerInput{listing: 1}, Call: call, Output: version, Return: call + 5})
	}
	for i, version := range []int{0, 0, 1, 1} {
		read(int64(10*(i+1)), version)
		if result := porcupine.CheckOperationsTimeout(registers(0), h.ops, time.Minute); result != porcupine.Ok {
			t.Errorf("after v%d: %s", version, result)
		}
	}
	read(100, 0)
	if result := porcupine.CheckOperationsTimeout(registers(0), h.ops, time.Minute); result != porcupine.Illegal {
		t.Errorf("the old version after the new one: %s", result)
	}
}
