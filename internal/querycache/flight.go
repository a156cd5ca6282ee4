package querycache

import (
	"errors"
	"sync"

	"walpurge/internal/coherence"
)

// nobody holds the handle of a load: what is evicted shows in it.
type nobody struct{}

// Evicted implements coherence.Holder.
func (nobody) Evicted(coherence.Cause) {}

// flight is a load on its way, and those who wait for it.
type flight[R any] struct {
	key    string
	handle coherence.Handle
	done   chan struct{}

	// Once done is closed.
	value     R
	err       error
	overtaken bool // what it shows has changed since it began
}

// errAbandoned stands until a load returns, which one that panics doesn't.
var errAbandoned = errors.New("load abandoned")

// flights are the loads that may be joined.
type flights[R any] struct {
	mu    sync.Mutex
	byKey map[string]*flight[R]
}

// join finds a load that a reader who arrives now and needs this much may share
// (R7), or opens one, which takes its place. asof is fixed here, before the
// database is asked (R2).
func (t *flights[R]) join(g *coherence.Guard, key string, need needs, deps []coherence.Dependency) (f *flight[R], leader bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if f = t.byKey[key]; f != nil && g.Joinable(&f.handle) && need.sameEpoch(f.handle.Epoch()) && (!need.said || f.handle.Asof() >= need.position.LSN) {
		return f, false
	}
	f = &flight[R]{key: key, done: make(chan struct{}), err: errAbandoned}
	g.Open(&f.handle, nobody{}, deps)
	t.byKey[key] = f
	return f, true
}

// end tells who waits.
func (t *flights[R]) end(f *flight[R]) {
	t.mu.Lock()
	if t.byKey[f.key] == f {
		delete(t.byKey, f.key)
	}
	t.mu.Unlock()
	close(f.done)
}

// learn adds to a load's dependencies what its result tells. If that has been
// touched since the load began, who joined late must not share it (R7).
func (t *attached[A, R]) learn(f *flight[R]) {
	if deps := t.shown(f.value); len(deps) > 0 {
		f.overtaken = !t.cache.o.Guard.Extend(&f.handle, deps)
	}
}
