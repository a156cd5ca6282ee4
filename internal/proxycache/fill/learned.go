package fill

import (
	"net/http"

	"walpurge/internal/coherence"
	"walpurge/internal/proxycache/depends"
	"walpurge/internal/proxycache/route"
	"walpurge/internal/rfc9111"
)

// declared are the dependencies that a response's head declares: groups, and
// rows by Depends-On. ok is false if it must not be kept because nobody knows
// what it depends on.
func (t *Fills) declared(rt *route.Route, h http.Header) (deps []coherence.Dependency, ok bool) {
	g := t.guard
	rows, found, wrong := depends.Named(g, h)
	if deps = append(depends.Groups(g, h), rows...); len(deps) > 0 {
		t.named(rt)
	}
	if !found && rt.Declared && len(h[depends.FieldName]) > 0 {
		wrong = depends.EmptyField
	}
	if wrong != "" {
		if _, told := rt.Told.LoadOrStore(wrong, true); !told {
			t.log.Warn("a response is not kept, nor are others like it", "route", rt.Label, "error", wrong)
		}
	}
	return deps, wrong == "" && (found || !rt.Declared)
}

// extend adds what the response's head declares to the flight's dependencies,
// before the response is kept (R3).
func (f *fetch) extend(h http.Header) {
	if !f.guarded() {
		return
	}
	deps, ok := f.fills.declared(f.Order.Route, h)
	f.undeclared = !ok
	f.learn(deps)
}

// learn adds dependencies that the response tells. If they have been touched
// since the request was sent, who joined late must not share it (R7).
func (f *fetch) learn(deps []coherence.Dependency) {
	if len(deps) > 0 && !f.fills.guard.Extend(&f.Entry.Handle, deps) {
		f.overtaken = true
	}
}

// lateDeps are the dependencies that are known only with the whole response.
func (f *fetch) lateDeps(h http.Header, body []byte) []coherence.Dependency {
	if !f.Order.Route.Late {
		return nil
	}
	s := *f.Order.Subject
	s.Body = depends.ReadDocument(h, body)
	return f.Order.Route.BindLate(f.fills.guard, &s)
}

// searched makes f's response one for all requests that its No-Vary-Search
// takes for the same. What depends on rows is bound to its own query.
func (f *fetch) searched(h http.Header) {
	if f.guarded() || f.Order.Content != nil {
		return
	}
	rule := rfc9111.ParseSearch(h)
	if rule.Trivial() {
		return
	}
	f.alias = f.fills.memory.SearchKey(f.Order.Primary, rule)
}
