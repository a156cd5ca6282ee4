package proxycache

import (
	"net/http"

	"walpurge/internal/coherence"
	"walpurge/internal/http1"
	"walpurge/internal/proxycache/position"
	"walpurge/internal/upstream"
)

// fillDrops are the fields that a fill leaves out: the response is for
// everybody who asks for the same.
var fillDrops = http1.Of(http1.IfMatch, http1.IfNoneMatch, http1.IfModifiedSince, http1.IfUnmodifiedSince, http1.IfRange, http1.Range, http1.Expect)

// ownFields are for this proxy where there is a log to follow.
var ownFields = http1.Of(http1.WalpurgePosition, http1.WalpurgeNeeds)

// requestHeader makes the fields that go to the origin, without those in drop.
func (p *Proxy) requestHeader(ex *http1.Exchange, drop http1.Set) http.Header {
	if p.positions.Follows() {
		drop |= ownFields
	}
	addr, trusted := p.opt.Clients.Trusted.Peer(ex)
	h := upstream.RequestHeader(ex, drop, !p.opt.NoCompress, addr, trusted)
	if p.positions.Follows() {
		position.TellNeeds(h, coherence.Position{}) // unless somebody knows better
	}
	return h
}
