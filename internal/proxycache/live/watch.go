package live

import (
	"slices"
	"time"

	"walpurge/internal/coherence"
	"walpurge/internal/proxycache/route"
	"walpurge/internal/proxycache/store"
	"walpurge/internal/rfc9111"
)

// What a page that listens has to watch is what the response to its URL
// depends on. That follows from the route's declaration and the request alone,
// unless a condition reads the body or the response names rows or groups of
// its own. Then it is learned from the response that is stored. While none is,
// everything counts that the response could depend on (G5), and the page is
// told of more than what purges it. It asks for its URL then, and what is
// stored for it is learned when the next change comes.
//
// Nothing is missed between the two. A watch that may match too much is
// replaced when a commit at c touches it:
//
//  1. No commit before c has touched it since the page was told last, so what
//     the page has fetched since then is what was there until c.
//  2. If a stored response is live and its asof lies before c in the same
//     epoch, it was the same until c, and c hasn't touched it: the page is not told.
//  3. In any other case the page is told.

// Subscriber is one page that listens.
type Subscriber struct {
	Page

	feed    *Feed
	settled bool          // no commit that can't be seen yet had touched the page when it came
	anew    chan struct{} // holds one; the route's responses have turned out to name dependencies
	last    time.Time     // of the last event
	watch   *watch
}

// watch is one registration with the guard. It is told once.
type watch struct {
	handle  coherence.Handle
	guessed bool            // more may touch it than would purge the page
	cause   coherence.Cause // set before touched is closed
	touched chan struct{}
}

// Evicted implements coherence.Holder.
func (o *watch) Evicted(c coherence.Cause) {
	o.cause = c
	close(o.touched)
}

// learns tells whether the declaration and the request don't say all that the
// response depends on.
func (w *Subscriber) learns() bool {
	rt := w.Route
	return rt.Declared || rt.Late || rt.Names.Load()
}

// begin registers anew. It returns false if a commit that may not be visible
// yet has touched the page.
func (w *Subscriber) begin() (settled bool) {
	if w.beginAsStored() != nil {
		return true
	}
	g, rt := w.feed.guard, w.Route
	w.watch = &watch{touched: make(chan struct{}), guessed: w.learns()}
	var deps []coherence.Dependency
	if rt.Declared || rt.Names.Load() {
		deps = []coherence.Dependency{g.Anything()}
	} else {
		deps = slices.Concat(rt.Bind(g, w.Shown), rt.BindLate(g, w.Shown)) // without a body its values are no conditions
	}
	return g.Observe(&w.watch.handle, w.watch, deps)
}

// beginAsStored watches what the stored response depends on, and returns that
// response; nil if there is none to learn from.
func (w *Subscriber) beginAsStored() *store.Entry {
	if !w.learns() {
		return nil
	}
	e := w.stored()
	if e == nil || e.Route != w.Route || !e.Guarded {
		return nil
	}
	next := &watch{touched: make(chan struct{})}
	if !w.feed.guard.ObserveAs(&next.handle, next, &e.Handle) {
		return nil
	}
	w.watch = next
	return e
}

// stored is what this client would get from the memory tier. A feed's request
// accepts other types than a page's, so of responses that vary by that nobody
// knows.
func (w *Subscriber) stored() *store.Entry {
	e := w.feed.memory.Peek(w.Key)
	if e == nil || e.Variants() == nil {
		return e
	}
	names := e.Variants().Names
	if slices.Contains(names, "accept") {
		return nil
	}
	return w.feed.memory.Peek(string(rfc9111.AppendVariant([]byte(w.Key), names, w.Request)))
}

// renew registers anew after the watch was touched. It returns true if the
// page need not be told: what has touched the watch has left the response alone.
func (w *Subscriber) renew() (settled bool) {
	was := w.watch
	if e := w.beginAsStored(); e != nil {
		return was.guessed && e.Handle.Epoch() == was.handle.Epoch() && e.Handle.Asof() < was.cause.LSN
	}
	w.begin()
	return false
}

func (w *Subscriber) end() { w.feed.guard.Close(&w.watch.handle) }

// Named notes that a response of the route names dependencies of its own.
// Those who listen and have trusted in the declaration begin anew.
func (f *Feed) Named(rt *route.Route) {
	if rt.Declared || rt.Names.Load() || rt.Names.Swap(true) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for w := range f.mu.listeners {
		if w.Route == rt {
			select {
			case w.anew <- struct{}{}:
			default:
			}
		}
	}
}
