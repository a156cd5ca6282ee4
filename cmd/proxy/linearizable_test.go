package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"walpurge/internal/testbed"
)

// registerInput is an operation on one listing's title: a read, or a write of
// version.
type registerInput struct {
	listing, version int
	write            bool
}

// registers is the sequential specification: each listing holds the version
// that was written last.
func registers() porcupine.Model {
	return porcupine.Model{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			byListing := map[int][]porcupine.Operation{}
			for _, op := range history {
				n := op.Input.(registerInput).listing
				byListing[n] = append(byListing[n], op)
			}
			var parts [][]porcupine.Operation
			for _, p := range byListing {
				parts = append(parts, p)
			}
			return parts
		},
		Init: func() any { return 0 },
		Step: func(state, input, output any) (bool, any) {
			in := input.(registerInput)
			if in.write {
				return true, in.version
			}
			return output.(int) == state.(int), state
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

func (h *history) add(client int, in registerInput, called int64, out int) {
	op := porcupine.Operation{ClientId: client, Input: in, Call: called, Output: out, Return: h.now()}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, op)
}

// TestStrictReadsAreLinearizable records what writers and strict readers see
// and checks the history: every read must show the last write before it in
// some order that respects real time.
func TestStrictReadsAreLinearizable(t *testing.T) {
	const listings, writers, readers = 8, 4, 4
	duration := 15 * time.Second
	if testing.Short() {
		duration = 3 * time.Second
	}
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
				_, version, _ := nextItem([]byte(p.body))
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
	result := porcupine.CheckOperationsTimeout(registers(), h.ops, time.Minute)
	testbed.Measured(t, "%d operations, %d strict hits: %s", len(h.ops), hits.Load(), result)
	if result != porcupine.Ok {
		t.Errorf("the history is not linearizable: %s", result)
	}
	if hits.Load() < 100 {
		t.Errorf("only %d hits: the test needs them", hits.Load())
	}
}

// TestCheckerFindsAStaleRead: the checker can say no.
func TestCheckerFindsAStaleRead(t *testing.T) {
	h := []porcupine.Operation{
		{ClientId: 0, Input: registerInput{1, 1, true}, Call: 0, Output: 0, Return: 10},
		{ClientId: 1, Input: registerInput{1, 0, false}, Call: 20, Output: 0, Return: 30},
	}
	if result := porcupine.CheckOperationsTimeout(registers(), h, time.Minute); result != porcupine.Illegal {
		t.Errorf("a read of the old value after the write: %s", result)
	}
}
