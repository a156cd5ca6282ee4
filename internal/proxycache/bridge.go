package proxycache

import (
	"walpurge/internal/coherence"
	"walpurge/internal/proxycache/outcome"
	"walpurge/internal/proxycache/store"
)

// bridge is how long past its lifetime the request takes e in the place of an
// error (RFC 5861 section 4), if e may be used past it at all.
func (x *exchange) bridge(e *store.Entry) coherence.Nanos {
	if !e.Lenient || x.wish.NoCache {
		return 0
	}
	return coherence.Nanos(x.wish.StaleIfError())
}

// bridged is the answer to a request that was passed on, and to which the origin
// has given none: what is stored past its lifetime, if that may be used so.
func (x *exchange) bridged(v *verdict, reason outcome.Reason, unreachable bool) (instead verdict, ok bool) {
	e, now := v.stale, x.p.opt.Now()
	if e == nil || x.p.memory.Peek(e.Key()) != e {
		return verdict{}, false
	}
	if (!e.ReplacesError(x.bridge(e), now) || !x.p.memory.Current(e, now)) && !(unreachable && !x.wish.NoCache && e.Bridges(now)) {
		return verdict{}, false
	}
	return fromCache(outcome.Stale, e, now, reason), true
}
