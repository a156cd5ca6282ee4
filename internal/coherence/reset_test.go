package coherence

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// TestResetKillsBeforeItIsSeen: a reader with a position looks whether it is
// applied and then whether the response is live, without the guard's lock. An
// epoch that is entered beyond a gap must not show its position while what it
// ends is still live.
func TestResetKillsBeforeItIsSeen(t *testing.T) {
	g, err := New(Config{Tables: []Table{{Name: "public.a", Columns: []Column{{Name: "id", Kind: Integer}}}}})
	if err != nil {
		t.Fatal(err)
	}
	table, _ := g.Table("public.a")
	deps := g.Bind(&Template{Table: table}, nil, nil)
	const epoch = 1
	g.Reset(epoch, 1)
	for start := LSN(2); start < 30; start++ {
		handles := make([]Handle, 500)
		for i := range handles {
			if !g.Open(&handles[i], ignored{}, deps) || !g.Admit(&handles[i], ignored{}) {
				t.Fatal("not admitted")
			}
		}
		var ready, done sync.WaitGroup
		var stale atomic.Int64
		for _, at := range []int{0, len(handles) / 2, len(handles) - 1} {
			ready.Add(1)
			done.Go(func() {
				ready.Done()
				for g.Applied() < start {
					runtime.Gosched()
				}
				if handles[at].Live() {
					stale.Add(1)
				}
			})
		}
		ready.Wait()
		g.Reset(epoch, start)
		done.Wait()
		if n := stale.Load(); n > 0 {
			t.Fatalf("at %s %d responses are live that the epoch has ended", start, n)
		}
	}
}

type ignored struct{}

func (ignored) Evicted(Cause) {}
