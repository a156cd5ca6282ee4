package proxycache

import (
	"net/http"

	"walpurge/internal/coherence"
	"walpurge/internal/rfc9111"
)

// A service may have a cache of its own that follows the same log (package
// querycache). What it may answer from that is told with each request in
// Walpurge-Needs, so that two levels never show what one would not: the
// position that the response has to cover, or one of no epoch, for which it has
// to ask its database.
//
// A client's own field ends here. It is in no key.

// tellNeeds sets the field in h.
func tellNeeds(h http.Header, p coherence.Position) {
	h[coherence.NeedsField] = []string{p.String()}
}

// needsOfFill sets what a fill needs, right before its request is sent: the
// applied position. It is at or above asof, which was fixed before (R2), and
// covers what those who wait for the fill have been promised: all that is
// proven, and their own positions (G2, G3, G4). What is applied later and
// touches the fill takes it out of the table and out of the store, as ever.
func (f *fetch) needsOfFill() {
	if !f.guarded() {
		return
	}
	at := f.fills.guard.Position()
	if at.Epoch != f.entry.handle.Epoch() {
		at = coherence.Position{} // it is in vain already; nothing says how the two compare
	}
	tellNeeds(f.header, at)
}

// needsOfRequest sets what a request needs that makes no guarded fill. One for
// a route with dependencies goes to the origin because nothing that is stored
// will do, and an unsafe one reads what it has just written: both want the
// database. On other routes the service may do what it would do without a
// proxy, but for the positions that the client carries.
func (x *exchange) needsOfRequest(h http.Header) {
	switch {
	case x.p.positions.guard == nil || x.route.guarded || !rfc9111.Safe(x.Method) || x.demand.strict:
	case x.demand.lsn != 0:
		tellNeeds(h, coherence.Position{Epoch: x.demand.epoch, LSN: x.demand.lsn})
	default:
		delete(h, coherence.NeedsField)
	}
}
