package proxycache

import (
	"walpurge/internal/proxycache/outcome"
	"walpurge/internal/proxycache/route"
	"walpurge/internal/proxycache/store"
)

// counters makes a route's.
func (p *Proxy) counters(label string) outcome.Counters {
	return outcome.NewCounters(p.metrics.requests, p.metrics.seconds, label)
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
func (p *Proxy) Prepare(declared []route.Declaration) (adopt func() Rerouted, err error) {
	next, err := route.NewTable(declared, p.routing.Load(), p.plain, p.opt.Guard, p.counters)
	if err != nil {
		return nil, err
	}
	return func() Rerouted { return p.reroute(next) }, nil
}

// reroute puts the new routes in place of the old ones. Requests under way
// end with those that they began with.
func (p *Proxy) reroute(next *route.Table) Rerouted {
	old := p.routing.Swap(next)
	var done Rerouted
	current := map[*route.Route]bool{p.plain: true}
	patterns := make(map[string]bool)
	for _, rt := range old.Routes {
		patterns[rt.Pattern] = true
	}
	for _, rt := range next.Routes {
		current[rt] = true
		switch {
		case !patterns[rt.Pattern]:
			done.Added++
		default:
			done.Changed++
		}
		delete(patterns, rt.Pattern)
	}
	for _, rt := range old.Routes {
		if current[rt] {
			done.Kept++
			done.Changed--
		}
	}
	done.Removed = len(patterns)
	done.Dropped = p.memory.RemoveAll(func(e *store.Entry) bool {
		return e.Variants() == nil && !current[e.Route]
	})
	return done
}
