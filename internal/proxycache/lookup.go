package proxycache

import (
	"context"
	"net/http"
	"slices"
	"time"

	"walpurge/internal/coherence"
	"walpurge/internal/http1"
	"walpurge/internal/proxycache/fill"
	"walpurge/internal/proxycache/outcome"
	"walpurge/internal/proxycache/store"
	"walpurge/internal/rfc9111"
)

// maxAttempts is how often a request looks again after it has waited for a
// response that it could not share.
const maxAttempts = 2

// lookup finds the answer to a GET or HEAD in the tiers, or gets it from
// somebody's flight or with one of its own.
func (x *exchange) lookup() verdict {
	var waited *fill.Flight
	var was *store.Entry // what the last look has found
	asksRedis := x.asksRedis()
	for attempt := 0; attempt < maxAttempts; attempt++ {
		now, proven := x.p.opt.Now(), coherence.Nanos(0)
		if x.Route.Guarded {
			var reason outcome.Reason
			if proven, reason = x.proof(now); reason != outcome.NoReason {
				v := x.bypass(reason)
				v.stale = was
				return v
			}
		}
		e, key := x.find()
		if e != nil {
			if v, ok := x.fromChanged(e, key, now); ok {
				return v
			}
		}
		if e != nil && (!e.Usable(now, proven) || x.authorized && !e.Shared) {
			e = nil
		}
		was = e
		if e != nil {
			if v, ok := x.fromMemory(e, key, now); ok {
				return v
			}
		}
		if v, ok := x.withoutFlight(e, key, now); ok {
			v.stale = e
			return v
		}
		if asksRedis && e == nil && !x.p.fills.Flights.Flying(key) {
			if e, now := x.p.fills.FromRedis(x.key, &x.Asked, x.Request, x.target); e != nil {
				return fromCache(outcome.Hit, e, now, "redis")
			}
			asksRedis = false
		}
		f, leader := x.join(key, e, waited, proven)
		if f == nil { // stored since we looked: look again
			continue
		}
		v, again, alone := x.await(f, leader)
		if leader {
			f.Leave()
		}
		if !again {
			return v
		}
		if alone {
			break
		}
		waited = f
	}
	v := passed(rfc9111.FwdURIMiss, x.p.fills.Memo.Reason(x.key, x.p.opt.Now()))
	v.outcome, v.turns, v.stale = outcome.Miss, x.Route.Guarded, was
	return v
}

// asksRedis tells whether the request may be answered from the Redis tier.
func (x *exchange) asksRedis() bool { return x.p.redis != nil && x.wish.Plain() && !x.authorized }

// proof returns the proof of freshness that a cached response of the route
// needs (G2, G4), or why there is none.
func (x *exchange) proof(now coherence.Nanos) (coherence.Nanos, outcome.Reason) {
	g := x.p.opt.Guard
	if x.Route.Strict || !x.p.positions.Covered(x.demand) {
		if x.p.opt.Prove == nil {
			return 0, outcome.StrictRead
		}
		ctx, cancel := context.WithTimeout(context.Background(), x.p.opt.StrictWait)
		defer cancel()
		if err := x.p.opt.Prove(ctx, x.start); err != nil {
			return 0, outcome.StrictRead
		}
		if proven := g.Proven(); proven >= x.start {
			return proven, outcome.NoReason
		}
		return 0, outcome.StrictRead
	}
	proven := g.Proven()
	if !x.Route.Proves(now, proven) {
		return 0, outcome.Unproven
	}
	return proven, outcome.NoReason
}

// find looks into the memory tier. key is the variant's where the response
// is known to vary.
func (x *exchange) find() (e *store.Entry, key string) {
	e, key = x.p.memory.Get([]byte(x.key)), x.key
	if e == nil && x.base == "" && !x.Route.Guarded {
		for _, other := range x.p.memory.SearchKeys(x.key) {
			if e = x.p.memory.Get([]byte(other)); e != nil {
				key = other
				break
			}
		}
	}
	primary := key
	if e != nil && e.Variants() != nil {
		key = string(rfc9111.AppendVariant([]byte(primary), e.Variants().Names, x.Request))
		v := e.Variants()
		if e = x.p.memory.Get([]byte(key)); e == nil && slices.Contains(v.Names, "accept-language") {
			e, key = x.inLanguage(v, key)
		}
	}
	if e != nil && e.Route != x.Route { // kept by a declaration that is no more
		return nil, key
	}
	return e, key
}

// fromMemory is the answer with e, if the request and the lifetimes allow it.
func (x *exchange) fromMemory(e *store.Entry, key string, now coherence.Nanos) (v verdict, ok bool) {
	left := e.Fresh - now
	age := time.Duration(e.Age + now - e.Received)
	switch {
	case left > 0 && x.wish.Admits(age, time.Duration(left)):
		v = fromCache(outcome.Hit, e, now, outcome.NoReason)
		v.audited = true
		return v, true
	case left <= 0 && e.Lenient && x.wish.AdmitsStale(age, time.Duration(-left)):
		return fromCache(outcome.Stale, e, now, outcome.NoReason), true
	case left <= 0 && -left < e.StaleWhileRevalidate.Nanos() && x.wish.Plain():
		v = fromCache(outcome.Stale, e, now, outcome.NoReason)
		v.again, v.key = true, key
		return v, true
	}
	return verdict{}, false
}

// fromChanged is the answer with a response that a row has changed under, if
// the route allows that for so long. It is none for whoever carries a
// position or wants anything but what is there: they must not get what is older
// than their own write (G3). The proof of freshness bounds how late the change
// was heard of.
func (x *exchange) fromChanged(e *store.Entry, key string, now coherence.Nanos) (v verdict, ok bool) {
	at := e.Changed()
	if at == 0 {
		return verdict{}, false
	}
	if now-at >= e.ChangedFor() || e.Handle.Epoch() != x.p.opt.Guard.Epoch() {
		x.p.memory.RemoveEntry(e)
		return verdict{}, false
	}
	if now >= e.Fresh || !x.wish.Plain() || x.authorized || !x.demand.Plain() {
		return verdict{}, false
	}
	v = fromCache(outcome.Stale, e, now, outcome.Changed)
	v.cs.TTL = min(-1, -int64(now-at)/int64(time.Second))
	v.again, v.key = true, key
	return v, true
}

// withoutFlight handles what never makes a flight.
func (x *exchange) withoutFlight(e *store.Entry, key string, now coherence.Nanos) (v verdict, ok bool) {
	ranged := e == nil && x.Has(http1.Of(http1.Range))
	if ranged {
		if v, ok = x.fromPart(now); ok {
			return v, true
		}
	}
	switch {
	case x.wish.OnlyIfCached:
		v = refused(http.StatusGatewayTimeout, outcome.Pass, rfc9111.CacheStatus{Detail: outcome.OnlyIfCached}, sentences[outcome.OnlyIfCached])
	case e == nil && x.p.fills.Memo.Has(key, now):
		v = passed(x.missed(key, e, now), outcome.Uncacheable)
	case e == nil && fill.WantsStream(x.Request):
		v = passed(x.missed(key, e, now), outcome.Stream)
	case ranged:
		v = x.copied(passed(x.missed(key, e, now), outcome.PartialWanted))
	case x.head:
		v = passed(x.missed(key, e, now), outcome.NoReason)
		v.outcome = outcome.Miss
	default:
		return verdict{}, false
	}
	return v, true
}

// missed is why e, what is stored under key, doesn't answer the request (RFC
// 9211 section 2.2).
func (x *exchange) missed(key string, e *store.Entry, now coherence.Nanos) rfc9111.Forward {
	switch {
	case e != nil && e.Fresh > now:
		return rfc9111.FwdRequest
	case e != nil:
		return rfc9111.FwdStale
	case key != x.key:
		return rfc9111.FwdVaryMiss
	case x.Has(http1.Of(http1.Range)) && x.p.memory.Peek(key+store.PartSuffix) != nil:
		return rfc9111.FwdPartial
	}
	return rfc9111.FwdURIMiss
}
