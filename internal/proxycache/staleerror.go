package proxycache

import (
	"time"

	"walpurge/internal/coherence"
	"walpurge/internal/proxycache/rfc9111"
)

// failed tells whether a response is an error that a stale one stands in for
// (RFC 5861 section 4).
func (f *flight) failed(a *rfc9111.Answer) bool {
	if !failing(a.Status) || f.stale == nil || f.chosen != nil || !f.mayReplaceError(f.proxy.opt.Now()) {
		return false
	}
	return !f.guarded() || f.stale.usable(f.proxy.opt.Now(), f.proxy.opt.Guard.Proven())
}

// mayReplaceError tells whether the stored response or the request lets it
// stand in for an error at now.
func (f *flight) mayReplaceError(now coherence.Nanos) bool {
	sie := max(f.stale.sie.nanos(), f.sie)
	return sie > 0 && now < f.stale.fresh+sie
}

// bridge is how long past its lifetime the request takes e in the place of an
// error (RFC 5861 section 4), if e may be used past it at all.
func (x *exchange) bridge(e *entry) coherence.Nanos {
	if !e.lenient || x.wish.NoCache {
		return 0
	}
	return coherence.Nanos(x.wish.StaleIfError())
}

// cutGrace is how long past its lifetime a response without dependencies is
// served while the origin can't be reached (RFC 9111 section 4.2.4). It
// bridges a restart and hides no outage.
const cutGrace = coherence.Nanos(time.Minute)

// bridges tells whether e may stand in for an origin that can't be reached.
func (e *entry) bridges(now coherence.Nanos) bool {
	return !e.guarded && e.lenient && now < e.fresh+cutGrace
}
