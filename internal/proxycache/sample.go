package proxycache

import (
	"walpurge/internal/coherence"
	"walpurge/internal/http1"
	"walpurge/internal/proxycache/audit"
	"walpurge/internal/proxycache/store"
	"walpurge/internal/rfc9111"
)

// sample has a hit compared with what the origin says to the same request.
func (x *exchange) sample(e *store.Entry) {
	header := x.p.requestHeader(x.Exchange, fillDrops)
	if x.Has(http1.Of(http1.AcceptEncoding)) {
		header["Accept-Encoding"] = []string{rfc9111.AcceptEncoding(x.Request).String()}
	}
	x.Route.KeepKeyedCookies(header)
	x.Route.DropOverrides(header)
	x.p.audit.Take(&audit.Sample{Entry: e, Route: x.Route, Target: x.target, Host: string(x.Host), Header: header})
}

// Changed notes for audits that a transaction whose commit ends at end has
// changed rows of a table (audit.Auditor.Changed).
func (p *Proxy) Changed(table, op string, rows int, end coherence.LSN) {
	p.audit.Changed(table, op, rows, end)
}
