package proxycache

import (
	"net/http"

	"walpurge/internal/coherence"
	"walpurge/internal/rfc9111"
)

// groups are the dependencies that a response declares by Cache-Groups, a
// list of strings (RFC 9875 section 2). Logical messages in the log touch
// them. A field that can't be read declares none.
func groups(g *coherence.Guard, h http.Header) []coherence.Dependency {
	var deps []coherence.Dependency
	for _, name := range rfc9111.GroupNames(h["Cache-Groups"]) {
		deps = append(deps, g.Group(name))
	}
	return deps
}

// declared are the dependencies that a response's head declares: groups, and
// rows by Depends-On. ok is false if it must not be kept because nobody knows
// what it depends on.
func (t *fills) declared(rt *route, h http.Header) (deps []coherence.Dependency, ok bool) {
	g := t.guard
	rows, found, wrong := dependsOn(g, h)
	if deps = append(groups(g, h), rows...); len(deps) > 0 {
		t.named(rt)
	}
	if !found && rt.Declared && len(h[dependsOnField]) > 0 {
		wrong = emptyField
	}
	if wrong != "" {
		if _, told := rt.told.LoadOrStore(wrong, true); !told {
			t.log.Warn("a response is not kept, nor are others like it", "route", rt.label, "error", wrong)
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
	deps, ok := f.fills.declared(f.order.route, h)
	f.undeclared = !ok
	f.learn(deps)
}

// learn adds dependencies that the response tells. If they have been touched
// since the request was sent, who joined late must not share it (R7).
func (f *fetch) learn(deps []coherence.Dependency) {
	if len(deps) > 0 && !f.fills.guard.Extend(&f.entry.handle, deps) {
		f.overtaken = true
	}
}
