package proxycache

import (
	"net/http"
	"slices"

	"github.com/dunglas/httpsfv"

	"walpurge/internal/coherence"
)

// maxGroups bounds the groups of one response. RFC 9875 section 2 asks for at
// least 32.
const maxGroups = 128

// groups are the dependencies that a response declares by Cache-Groups, a
// list of strings (RFC 9875 section 2). Logical messages in the log touch
// them. A field that can't be read declares none.
func groups(g *coherence.Guard, h http.Header) []coherence.Dependency {
	values := h["Cache-Groups"]
	if len(values) == 0 {
		return nil
	}
	list, err := httpsfv.UnmarshalList(values)
	if err != nil {
		return nil
	}
	var deps []coherence.Dependency
	for _, member := range list[:min(len(list), maxGroups)] {
		item, ok := member.(httpsfv.Item)
		if !ok {
			continue
		}
		if name, ok := item.Value.(string); ok {
			deps = append(deps, g.Group(name))
		}
	}
	return deps
}

// extend adds the groups that the response's head declares to the flight's
// dependencies, before the response is kept (R3).
func (f *flight) extend(h http.Header) {
	if !f.guarded() {
		return
	}
	if deps := groups(f.proxy.opt.Guard, h); len(deps) > 0 {
		f.proxy.opt.Guard.Extend(&f.entry.handle, deps)
	}
}

// storedDeps are the dependencies of a response from the Redis tier: those of
// its route and those that its head declares.
func (f *flight) storedDeps(e *entry) []coherence.Dependency {
	return append(slices.Clip(f.deps), groups(f.proxy.opt.Guard, e.header())...)
}
