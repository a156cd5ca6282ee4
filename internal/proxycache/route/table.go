package route

import (
	"fmt"
	"reflect"

	"walpurge/internal/coherence"
	"walpurge/internal/proxycache/outcome"
)

// Table is the declared routes. It is immutable.
//
// INVARIANT: a response answers requests of the very route that it was
// fetched for. A declaration that changes makes another route of the same
// pattern, so whatever it had kept is found no more, and neither are its
// flights; no step of a reload has to be in time for that.
type Table struct {
	router  router
	Routes  []*Route
	Plain   *Route // of what matches none of them
	Guarded bool   // there are routes with dependencies
}

// NewTable makes the table of the declared routes. plain is of what matches
// none, counters makes those of a route with a label. Routes that was, which may
// be nil, has with the very same declaration stay.
func NewTable(declared []Declaration, was *Table, plain *Route, guard *coherence.Guard, counters func(label string) outcome.Counters) (*Table, error) {
	old := make(map[string]*Route)
	if was != nil {
		for _, rt := range was.Routes {
			old[rt.Pattern] = rt
		}
	}
	t := &Table{Plain: plain}
	for _, r := range declared {
		rt, err := New(r, guard)
		if err == nil {
			err = t.router.add(rt)
		}
		if err != nil {
			return nil, fmt.Errorf("route %s: %w", r.Pattern, err)
		}
		rt.Counters = counters(rt.Label)
		t.Routes = append(t.Routes, rt)
		t.Guarded = t.Guarded || rt.Guarded
	}
	for i, rt := range t.Routes {
		if same := old[rt.Pattern]; same != nil && reflect.DeepEqual(same.Declaration, rt.Declaration) {
			t.router.replace(rt, same)
			t.Routes[i] = same
		}
	}
	return t, nil
}

// NewPlain makes the route of requests without a declared one.
func NewPlain(label string, counters outcome.Counters) *Route {
	return &Route{Label: label, Counters: counters}
}
