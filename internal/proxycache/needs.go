package proxycache

import (
	"net/http"

	"walpurge/internal/coherence"
	"walpurge/internal/proxycache/position"
	"walpurge/internal/rfc9111"
)

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
