package proxycache

import (
	"net/http"

	"walpurge/internal/coherence"
	"walpurge/internal/proxycache/position"
	"walpurge/internal/rfc9111"
)

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
	if at.Epoch != f.entry.Handle.Epoch() {
		at = coherence.Position{} // it is in vain already; nothing says how the two compare
	}
	position.TellNeeds(f.header, at)
}

// needsOfRequest sets what a request needs that makes no guarded fill. One for
// a route with dependencies goes to the origin because nothing that is stored
// will do, and an unsafe one reads what it has just written: both want the
// database. On other routes the service may do what it would do without a
// proxy, but for the positions that the client carries.
func (x *exchange) needsOfRequest(h http.Header) {
	switch {
	case !x.p.positions.Follows() || x.Route.Guarded || !rfc9111.Safe(x.Method) || x.demand.Strict:
	case x.demand.LSN != 0:
		position.TellNeeds(h, coherence.Position{Epoch: x.demand.Epoch, LSN: x.demand.LSN})
	default:
		delete(h, coherence.NeedsField)
	}
}
