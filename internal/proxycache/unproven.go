package proxycache

import (
	"time"

	"walpurge/internal/proxycache/outcome"
	"walpurge/internal/rfc9111"
)

// bypass sends a read on a cached route to the origin, because what is stored
// may not be used for it now. Many may come at once, so they take turns with
// the fills until the origin has begun to answer.
func (x *exchange) bypass(reason outcome.Reason) verdict {
	v := passed(rfc9111.FwdBypass, reason)
	v.outcome, v.turns = outcome.Bypass, true
	v.lenient = reason == outcome.Unproven && x.Route.StaleIfError != nil && *x.Route.StaleIfError > 0
	return v
}

// StandIn is the answer for an origin that has failed: what the memory tier
// holds, while its freshness can't be proven: only on a route that says
// stale_if_error, and only for so long after the last proof. Everything that
// has been applied until now has evicted what it touched, so what is still
// live was right then.
//
// It is marked as a hit: RFC 9211 section 2.1 counts a stale response that is
// used because the origin is not available as one, and hit excludes fwd.
func (x *exchange) standIn(v *verdict) (instead verdict, ok bool) {
	if !v.lenient || !x.wish.Plain() {
		return verdict{}, false
	}
	now := x.p.opt.Now()
	proven := x.p.opt.Guard.Proven() // C1: before the handle
	e, _ := x.find()
	if e == nil || x.authorized && !e.Shared || !e.Within(time.Duration(now-proven), now, proven, *x.Route.StaleIfError) {
		return verdict{}, false
	}
	return fromCache(outcome.Stale, e, now, outcome.Unproven), true
}
