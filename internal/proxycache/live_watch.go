package proxycache

import (
	"slices"
	"time"

	"walpurge/internal/coherence"
	"walpurge/internal/proxycache/depends"
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

// onlooker is one page that listens.
type onlooker struct {
	x       *exchange
	route   *route.Route
	shown   *depends.Subject // what the page shows
	key     string           // of the response, without variant
	routing *route.Table     // that the page's route is of
	gone    chan struct{}
	anew    chan struct{} // holds one; the route's responses have turned out to name dependencies
	last    time.Time     // of the last event
	watch   *onlook
}

// onlook is one registration with the guard. It is told once.
type onlook struct {
	handle  coherence.Handle
	guessed bool            // more may touch it than would purge the page
	cause   coherence.Cause // set before touched is closed
	touched chan struct{}
}

// Evicted implements coherence.Holder.
func (o *onlook) Evicted(c coherence.Cause) {
	o.cause = c
	close(o.touched)
}

func (w *onlooker) guard() *coherence.Guard { return w.x.p.opt.Guard }

// learns tells whether the declaration and the request don't say all that the
// response depends on.
func (w *onlooker) learns() bool {
	rt := w.route
	return rt.Declared || rt.Late || rt.Names.Load()
}

// begin registers anew. It returns false if a commit that may not be visible
// yet has touched the page.
func (w *onlooker) begin() (settled bool) {
	if w.beginAsStored() != nil {
		return true
	}
	g, rt := w.guard(), w.route
	w.watch = &onlook{touched: make(chan struct{}), guessed: w.learns()}
	var deps []coherence.Dependency
	if rt.Declared || rt.Names.Load() {
		deps = []coherence.Dependency{g.Anything()}
	} else {
		deps = slices.Concat(rt.Bind(g, w.shown), rt.BindLate(g, w.shown)) // without a body its values are no conditions
	}
	return g.Observe(&w.watch.handle, w.watch, deps)
}

// beginAsStored watches what the stored response depends on, and returns that
// response; nil if there is none to learn from.
func (w *onlooker) beginAsStored() *store.Entry {
	if !w.learns() {
		return nil
	}
	e := w.stored()
	if e == nil || e.Route != w.route || !e.Guarded {
		return nil
	}
	watch := &onlook{touched: make(chan struct{})}
	if !w.guard().ObserveAs(&watch.handle, watch, &e.Handle) {
		return nil
	}
	w.watch = watch
	return e
}

// stored is what this client would get from the memory tier. A feed's request
// accepts other types than a page's, so of responses that vary by that nobody
// knows.
func (w *onlooker) stored() *store.Entry {
	e := w.x.p.memory.Peek(w.key)
	if e == nil || e.Variants() == nil {
		return e
	}
	names := e.Variants().Names
	if slices.Contains(names, "accept") {
		return nil
	}
	return w.x.p.memory.Peek(string(rfc9111.AppendVariant([]byte(w.key), names, w.x.Request)))
}

// renew registers anew after the watch was touched. It returns true if the
// page need not be told: what has touched the watch has left the response alone.
func (w *onlooker) renew() (settled bool) {
	was := w.watch
	if e := w.beginAsStored(); e != nil {
		return was.guessed && e.Handle.Epoch() == was.handle.Epoch() && e.Handle.Asof() < was.cause.LSN
	}
	w.begin()
	return false
}

func (w *onlooker) end() { w.guard().Close(&w.watch.handle) }

// hasNamed notes that a response of the route names dependencies of its own.
// Those who listen and have trusted in the declaration begin anew.
func (p *Proxy) hasNamed(rt *route.Route) {
	if rt.Declared || rt.Names.Load() || rt.Names.Swap(true) {
		return
	}
	l := p.live
	l.mu.Lock()
	defer l.mu.Unlock()
	for w := range l.mu.listeners {
		if w.route == rt {
			select {
			case w.anew <- struct{}{}:
			default:
			}
		}
	}
}
