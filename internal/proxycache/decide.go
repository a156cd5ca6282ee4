package proxycache

import (
	"net/http"
	"strings"

	"walpurge/internal/http1"
	"walpurge/internal/proxycache/outcome"
	"walpurge/internal/rfc9111"
	"walpurge/internal/upstream"
)

// decide tells what becomes of a request, from the request and its route
// alone: it asks nobody and changes nothing. It is a decision table: the first
// line that fits counts.
func (x *exchange) decide() verdict {
	method := string(x.Method)
	switch {
	case method == "CONNECT":
		return refused(http.StatusNotImplemented, outcome.Pass, rfc9111.CacheStatus{Detail: outcome.Tunnel}, "This proxy opens no tunnels.")
	case x.Route.Events:
		return verdict{way: toFeed}
	case x.endsHere():
		return verdict{way: toAnswerHere}
	case x.wantsUpgrade():
		return verdict{way: toUpgrade, outcome: outcome.Pass, cs: rfc9111.CacheStatus{Fwd: rfc9111.FwdBypass, Detail: outcome.Upgrade}}
	case x.hidesFields():
		return passed(rfc9111.FwdRequest, outcome.HiddenFields)
	case method == rfc9111.MethodQuery && x.keepsAnswer():
		return verdict{way: toRead}
	case method == "POST":
		return x.copied(passed(rfc9111.FwdMethod, outcome.NoReason))
	case !isRead(x.Method):
		return passed(rfc9111.FwdMethod, outcome.NoReason)
	case x.Body != nil:
		return passed(rfc9111.FwdRequest, outcome.RequestBody)
	case !x.Clean && x.Table.Guarded:
		return passed(rfc9111.FwdBypass, outcome.UncleanPath)
	case x.Has(rfc9111.Preconditions):
		return passed(rfc9111.FwdRequest, outcome.NoReason)
	case x.wish.NoStore:
		return passed(rfc9111.FwdRequest, outcome.ClientNoStore)
	case x.keepsNothing():
		return passed(rfc9111.FwdBypass, rfc9111.RouteTTL)
	}
	return verdict{way: toLookUp}
}

// keepsNothing tells whether the request's route says that nothing is kept.
func (x *exchange) keepsNothing() bool { return x.Route.TTL != nil && *x.Route.TTL <= 0 }

// keepsAnswer tells whether the answer to a QUERY may be stored. On routes with
// dependencies it may not: conditions are read from the URL, and content could
// say otherwise.
func (x *exchange) keepsAnswer() bool {
	return !x.Route.Guarded && x.Body != nil && http1.CleanPath(x.Path) && !x.Has(rfc9111.Preconditions|http1.Of(http1.Range)) &&
		!x.wish.NoStore && !x.wish.OnlyIfCached && !x.keepsNothing()
}

// copied is v, which passes the request, with a copy kept of the response where
// others may have that.
func (x *exchange) copied(v verdict) verdict {
	if !x.Route.Guarded && (string(x.Method) != "POST" || x.Route == x.Table.Plain) && !x.wish.NoStore {
		v.way = toCopy
	}
	return v
}

// hidesFields tells whether Connection names a field of the request that is
// meant for the origin. It is dropped on the way (RFC 9110 section 7.6.1) though
// the key has it, so the response is nobody else's (C5).
func (x *exchange) hidesFields() bool {
	for _, name := range upstream.ConnectionOptions(x.Exchange) {
		switch name {
		case "Close", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings", "Proxy-Connection", "Proxy-Authorization":
			continue
		}
		if x.HasField(strings.ToLower(name)) {
			return true
		}
	}
	return false
}
