package position

import (
	"net/http"

	"walpurge/internal/coherence"
)

// A service may have a cache of its own that follows the same log (package
// querycache). What it may answer from that is told with each request in
// Walpurge-Needs, so that two levels never show what one would not: the
// position that the response has to cover, or one of no epoch, for which it has
// to ask its database.
//
// A client's own field ends here. It is in no key.

// TellNeeds sets the field in h.
func TellNeeds(h http.Header, p coherence.Position) {
	h[coherence.NeedsField] = []string{p.String()}
}
