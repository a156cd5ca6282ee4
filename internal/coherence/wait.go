package coherence

import "slices"

// waiter waits for a position or for a proof.
type waiter struct {
	epoch   Epoch
	applied LSN   // 0: any
	proven  Nanos // 0: any
	ready   chan struct{}
}

// WaitApplied returns a channel that is closed once everything up to lsn has
// been applied, or once another epoch has begun. cancel gives the wait up;
// calling it later is harmless.
func (g *Guard) WaitApplied(lsn LSN) (ready <-chan struct{}, cancel func()) {
	return g.wait(waiter{applied: lsn})
}

// WaitProven returns a channel that is closed once freshness is proven as of
// since or later, or once another epoch has begun (R6). Somebody has to ask
// the primary after since.
func (g *Guard) WaitProven(since Nanos) (ready <-chan struct{}, cancel func()) {
	return g.wait(waiter{proven: since})
}

func (g *Guard) wait(w waiter) (<-chan struct{}, func()) {
	w.ready = make(chan struct{})
	g.mu.Lock()
	defer g.mu.Unlock()
	w.epoch = g.epoch
	if g.over(&w) {
		close(w.ready)
		return w.ready, func() {}
	}
	g.waiters = append(g.waiters, w)
	return w.ready, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.waiters = slices.DeleteFunc(g.waiters, func(o waiter) bool { return o.ready == w.ready })
	}
}

// over tells whether w need not wait any longer. REQUIRES: g.mu held.
func (g *Guard) over(w *waiter) bool {
	return w.epoch != g.epoch || g.applied >= w.applied && Nanos(g.provenNow.Load()) >= w.proven
}

// wake ends the waits that are over. REQUIRES: g.mu held.
func (g *Guard) wake() {
	if len(g.waiters) == 0 {
		return
	}
	g.waiters = slices.DeleteFunc(g.waiters, func(w waiter) bool {
		if !g.over(&w) {
			return false
		}
		close(w.ready)
		return true
	})
}
