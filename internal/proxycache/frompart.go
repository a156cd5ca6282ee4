package proxycache

import (
	"time"

	"walpurge/internal/coherence"
	"walpurge/internal/proxycache/outcome"
	"walpurge/internal/proxycache/store"
	"walpurge/internal/rfc9111"
)

// fromPart is the answer to a request for ranges from the part that is stored.
func (x *exchange) fromPart(now coherence.Nanos) (v verdict, ok bool) {
	if x.Route.Guarded {
		return verdict{}, false
	}
	e := x.p.memory.Get([]byte(x.key + store.PartSuffix))
	if e == nil || e.Route != x.Route || x.authorized && !e.Shared {
		return verdict{}, false
	}
	left := e.Fresh - now
	if left <= 0 || !x.wish.Admits(e.AgeSpan(now), time.Duration(left)) {
		return verdict{}, false
	}
	ranges, ok := store.WantedRanges(x.Request, e, e.Part().Size)
	if !ok || len(ranges) == 0 || x.Has(rfc9111.Conditions) {
		return verdict{}, false
	}
	for _, r := range ranges {
		if r.From < e.Part().From || r.To > e.Part().To {
			return verdict{}, false
		}
	}
	return fromCache(outcome.Hit, e, now, outcome.NoReason), true
}
