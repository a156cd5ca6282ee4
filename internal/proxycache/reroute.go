package proxycache

import (
	"fmt"
	"reflect"

	"walpurge/internal/proxycache/outcome"
)

// routing is the declared routes. It is immutable.
//
// INVARIANT: a response answers requests of the very route that it was
// fetched for. A declaration that changes makes another route of the same
// pattern, so whatever it had kept is found no more, and neither are its
// flights; no step of a reload has to be in time for that.
type routing struct {
	router  router
	routes  []*route
	plain   *route // of what matches none of them
	guarded bool   // there are routes with dependencies
}

func (p *Proxy) newRouting(declared []Route) (*routing, error) {
	was := make(map[string]*route)
	if now := p.routing.Load(); now != nil {
		for _, rt := range now.routes {
			was[rt.Pattern] = rt
		}
	}
	t := &routing{plain: p.plain}
	for _, r := range declared {
		rt, err := newRoute(r, p.opt.Guard)
		if err == nil {
			err = t.router.add(rt)
		}
		if err != nil {
			return nil, fmt.Errorf("route %s: %w", r.Pattern, err)
		}
		rt.counters = outcome.NewCounters(p.metrics.requests, p.metrics.seconds, rt.label)
		t.routes = append(t.routes, rt)
		t.guarded = t.guarded || rt.guarded
	}
	for i, rt := range t.routes {
		if old := was[rt.Pattern]; old != nil && reflect.DeepEqual(old.Route, rt.Route) {
			t.router.replace(rt, old)
			t.routes[i] = old
		}
	}
	return t, nil
}

// Rerouted says what a new list of routes has changed.
type Rerouted struct {
	Kept    int // routes declared as before, with all that they have stored
	Changed int
	Added   int
	Removed int
	Dropped int // responses of the routes that are no more what they were
}

// Prepare checks a new list of routes. What it returns makes them those that
// count; without it nothing has changed. One at a time.
func (p *Proxy) Prepare(declared []Route) (adopt func() Rerouted, err error) {
	next, err := p.newRouting(declared)
	if err != nil {
		return nil, err
	}
	return func() Rerouted { return p.reroute(next) }, nil
}

// reroute puts the new routes in place of the old ones. Requests under way
// end with those that they began with.
func (p *Proxy) reroute(next *routing) Rerouted {
	old := p.routing.Swap(next)
	var done Rerouted
	current := map[*route]bool{p.plain: true}
	patterns := make(map[string]bool)
	for _, rt := range old.routes {
		patterns[rt.Pattern] = true
	}
	for _, rt := range next.routes {
		current[rt] = true
		switch {
		case !patterns[rt.Pattern]:
			done.Added++
		default:
			done.Changed++
		}
		delete(patterns, rt.Pattern)
	}
	for _, rt := range old.routes {
		if current[rt] {
			done.Kept++
			done.Changed--
		}
	}
	done.Removed = len(patterns)
	done.Dropped = p.memory.removeAll(func(e *entry) bool {
		return e.variants() == nil && !current[e.route]
	})
	return done
}
