package oracle

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"walpurge/dev/testbed"
	"walpurge/test/rig"
)

// TestStrictReadsAreLinearizable records what writers and strict readers see
// and checks the history: every read must show the last write before it in
// some order that respects real time.
func TestStrictReadsAreLinearizable(t *testing.T) {
	const listings, writers, readers = 8, 4, 4
	duration, _ := rig.TrialOf(15*time.Second, 0)
	r := rig.New(t, rig.Options{Redis: testbed.SharedRedis(t), Routes: strings.ReplaceAll(rig.Routes, "depends_on:", "consistency: strict\n    depends_on:")})
	for id := 1; id <= listings; id++ {
		r.Insert(id, "v0", "Lagos", "house", 3, "100")
	}
	r.CaughtUp()
	h := &rig.History{Began: time.Now()}
	done := func() bool { return time.Since(h.Began) >= duration }
	var hits atomic.Int64
	g, ctx := errgroup.WithContext(t.Context())
	for w := range writers {
		g.Go(func() error {
			conn, err := pgx.Connect(ctx, r.DBURL)
			if err != nil {
				return err
			}
			defer conn.Close(context.WithoutCancel(ctx))
			rnd := rand.New(rand.NewPCG(3, uint64(w)))
			pace := time.NewTicker(10 * time.Millisecond)
			defer pace.Stop()
			for version := w + 1; !done(); version += writers { // no two writers write the same
				<-pace.C
				in := rig.RegisterInput{Listing: 1 + rnd.IntN(listings), Version: version, Write: true}
				called := h.Now()
				if _, err := conn.Exec(ctx, `update listings set title = $2 where id = $1`, in.Listing, fmt.Sprint("v", version)); err != nil {
					return err
				}
				h.Add(w, in, called, 0)
			}
			return nil
		})
	}
	for n := range readers {
		g.Go(func() error {
			rnd := rand.New(rand.NewPCG(4, uint64(n)))
			for !done() {
				in := rig.RegisterInput{Listing: 1 + rnd.IntN(listings)}
				called := h.Now()
				p, err := r.Try(fmt.Sprintf("/api/listings/%d", in.Listing))
				if err != nil {
					return err
				}
				if p.Status != 200 {
					return fmt.Errorf("status %d: %s", p.Status, p.Body)
				}
				_, version, _ := rig.NextItem([]byte(p.Body), "title")
				h.Add(writers+n, in, called, version)
				if p.Hit() {
					hits.Add(1)
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	result := porcupine.CheckOperationsTimeout(rig.Registers(0), h.Ops, time.Minute)
	testbed.Measured(t, "%d operations, %d strict hits: %s", len(h.Ops), hits.Load(), result)
	if result != porcupine.Ok {
		t.Errorf("the history is not linearizable: %s", result)
	}
	if hits.Load() < 100 {
		t.Errorf("only %d hits: the test needs them", hits.Load())
	}
}
