package proxycache

import (
	"cmp"
	"slices"

	"walpurge/internal/proxycache/outcome"
	"walpurge/internal/proxycache/route"
)

// topRoute is what is shown of a route.
type topRoute struct {
	Route    string   `json:"route"`
	Requests float64  `json:"requests"` // since the start
	Hits     *float64 `json:"hits"`     // share of hits among those that could have been one; nil without any
}

// topRoutes are the n routes with the most requests, of those that had any.
func (p *Proxy) topRoutes(n int) []topRoute {
	top := []topRoute{}
	for _, rt := range append(slices.Clone(p.routing.Load().Routes), p.plain) {
		if t := topOf(rt); t.Requests > 0 {
			top = append(top, t)
		}
	}
	slices.SortFunc(top, func(a, b topRoute) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Route, b.Route))
	})
	return top[:min(n, len(top))]
}

func topOf(rt *route.Route) topRoute {
	t := topRoute{Route: rt.Label}
	var possible, hits float64
	for o := range rt.Counters {
		n, err := rt.Counters[o].Read()
		if err != nil {
			continue
		}
		t.Requests += n
		switch outcome.Outcome(o) {
		case outcome.Pass, outcome.Bypass:
			continue
		case outcome.Hit, outcome.Stale:
			hits += n
		}
		possible += n
	}
	if possible > 0 {
		share := hits / possible
		t.Hits = &share
	}
	return t
}
