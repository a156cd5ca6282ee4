package coherence

import "testing"

func TestWaitsEndWhenReached(t *testing.T) {
	g, err := New(Config{Tables: []Table{{Name: "public.t"}}})
	if err != nil {
		t.Fatal(err)
	}
	g.Reset(1, 100)
	done := func(c <-chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	reached, _ := g.WaitApplied(100)
	ahead, _ := g.WaitApplied(150)
	given, cancel := g.WaitApplied(150)
	fresh, _ := g.WaitProven(20)
	far, _ := g.WaitApplied(1000)
	cancel()
	if !done(reached) || done(ahead) || done(fresh) {
		t.Error("only the position that is reached already ends a wait at once")
	}
	g.Probe(150, 19)
	g.Advance(150)
	if !done(ahead) || done(fresh) || done(given) {
		t.Errorf("after 150: ahead %v, fresh %v, given up %v", done(ahead), done(fresh), done(given))
	}
	g.Probe(150, 20)
	if !done(fresh) || done(far) {
		t.Errorf("after the proof: fresh %v, far %v", done(fresh), done(far))
	}
	g.Reset(2, 100)
	if !done(far) {
		t.Error("a wait outlives its epoch")
	}
	if len(g.waiters) != 0 {
		t.Errorf("%d waiters are left", len(g.waiters))
	}
}
