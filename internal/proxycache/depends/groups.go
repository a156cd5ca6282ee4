package depends

import (
	"net/http"

	"walpurge/internal/coherence"
	"walpurge/internal/rfc9111"
)

// Groups are the dependencies that a response declares by Cache-Groups, a
// list of strings (RFC 9875 section 2). Logical messages in the log touch
// them. A field that can't be read declares none.
func Groups(g *coherence.Guard, h http.Header) []coherence.Dependency {
	var deps []coherence.Dependency
	for _, name := range rfc9111.GroupNames(h["Cache-Groups"]) {
		deps = append(deps, g.Group(name))
	}
	return deps
}
