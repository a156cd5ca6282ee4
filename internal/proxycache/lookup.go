package proxycache

import (
	"context"
	"net/http"
	"slices"
	"time"

	"walpurge/internal/coherence"
	"walpurge/internal/http1"
	"walpurge/internal/rfc9111"
)

// maxAttempts is how often a request looks again after it has waited for a
// response that it could not share.
const maxAttempts = 2

// lookup answers a GET or HEAD from the tiers, from somebody's flight or with
// a flight of its own.
func (x *exchange) lookup() {
	var waited *Flight
	asksRedis := x.asksRedis()
	for attempt := 0; attempt < maxAttempts; attempt++ {
		now, proven := x.p.opt.Now(), coherence.Nanos(0)
		if x.route.guarded {
			var reason Reason
			if proven, reason = x.proof(now); reason != NoReason {
				x.bypass(reason)
				return
			}
		}
		e, key := x.find()
		if e != nil && x.fromChanged(e, key, now) {
			return
		}
		if e != nil && (!e.usable(now, proven) || x.authorized && !e.shared) {
			e = nil
		}
		x.stale = e
		if e != nil && x.fromMemory(e, key, now) {
			return
		}
		if x.withoutFlight(e, key, now) {
			return
		}
		if asksRedis && e == nil && !x.p.fills.flights.flying(key) {
			if e, now := x.p.fills.fromRedis(x.key, &x.Asked, x.Request, x.target); e != nil {
				cs := rfc9111.CacheStatus{Hit: true, TTL: e.ttlAt(now), Detail: "redis"}
				x.p.sendEntry(x.Exchange, e, now, cs)
				x.done(hit, cs.Detail)
				return
			}
			asksRedis = false
		}
		f, leader := x.join(key, e, waited, proven)
		if f == nil { // stored since we looked: look again
			continue
		}
		if leader {
			x.follow(f, true)
			f.leave()
			return
		}
		again, alone := x.follow(f, false)
		if !again {
			return
		}
		if alone {
			break
		}
		waited = f
	}
	x.turns = x.route.guarded
	x.pass(miss, rfc9111.CacheStatus{Fwd: rfc9111.FwdURIMiss, Detail: x.p.fills.memo.reason(x.key, x.p.opt.Now())})
}

// asksRedis tells whether the request may be answered from the Redis tier.
func (x *exchange) asksRedis() bool { return x.p.redis != nil && x.wish.Plain() && !x.authorized }

// proof returns the proof of freshness that a cached response of the route
// needs (G2, G4), or why there is none.
func (x *exchange) proof(now coherence.Nanos) (coherence.Nanos, Reason) {
	g := x.p.opt.Guard
	if x.route.Strict || !x.p.positions.covered(x.demand) {
		if x.p.opt.Prove == nil {
			return 0, StrictRead
		}
		ctx, cancel := context.WithTimeout(context.Background(), x.p.opt.StrictWait)
		defer cancel()
		if err := x.p.opt.Prove(ctx, x.start); err != nil {
			return 0, StrictRead
		}
		if proven := g.Proven(); proven >= x.start {
			return proven, NoReason
		}
		return 0, StrictRead
	}
	proven := g.Proven()
	if !x.route.proves(now, proven) {
		return 0, Unproven
	}
	return proven, NoReason
}

// find looks into the memory tier. key is the variant's where the response
// is known to vary.
func (x *exchange) find() (e *entry, key string) {
	e, key = x.p.memory.get([]byte(x.key)), x.key
	if e == nil && x.base == "" && !x.route.guarded {
		for _, other := range x.p.memory.searchKeys(x.key) {
			if e = x.p.memory.get([]byte(other)); e != nil {
				key = other
				break
			}
		}
	}
	primary := key
	if e != nil && e.variants() != nil {
		key = string(rfc9111.AppendVariant([]byte(primary), e.variants().names, x.Request))
		v := e.variants()
		if e = x.p.memory.get([]byte(key)); e == nil && slices.Contains(v.names, "accept-language") {
			e, key = x.inLanguage(v, key)
		}
	}
	if e != nil && e.route != x.route { // kept by a declaration that is no more
		return nil, key
	}
	return e, key
}

// fromMemory answers with e if the request and the lifetimes allow it.
func (x *exchange) fromMemory(e *entry, key string, now coherence.Nanos) bool {
	left := e.fresh - now
	age := time.Duration(e.age + now - e.received)
	switch {
	case left > 0 && x.wish.Admits(age, time.Duration(left)):
		x.p.sendEntry(x.Exchange, e, now, rfc9111.CacheStatus{Hit: true, TTL: e.ttlAt(now)})
		x.done(hit, NoReason)
		if x.p.audit != nil && e.guarded {
			x.p.audit.hit(x.Exchange, e, x.route, now)
		}
		return true
	case left <= 0 && e.lenient && x.wish.AdmitsStale(age, time.Duration(-left)):
		x.p.sendEntry(x.Exchange, e, now, rfc9111.CacheStatus{Hit: true, TTL: e.ttlAt(now)})
		x.done(stale, NoReason)
		return true
	case left <= 0 && -left < e.swr.nanos() && x.wish.Plain():
		x.p.sendEntry(x.Exchange, e, now, rfc9111.CacheStatus{Hit: true, TTL: e.ttlAt(now)})
		x.done(stale, NoReason)
		x.refresh(e, key)
		return true
	}
	return false
}

// fromChanged answers with a response that a row has changed under, if the
// route allows that for so long. It is no answer for whoever carries a
// position or wants anything but what is there: they must not get what is older
// than their own write (G3). The proof of freshness bounds how late the change
// was heard of.
func (x *exchange) fromChanged(e *entry, key string, now coherence.Nanos) bool {
	at := e.changed()
	if at == 0 {
		return false
	}
	if now-at >= e.changedFor() || e.handle.Epoch() != x.p.opt.Guard.Epoch() {
		x.p.memory.removeEntry(e)
		return false
	}
	if now >= e.fresh || !x.wish.Plain() || x.authorized || x.demand.strict || x.demand.lsn != 0 {
		return false
	}
	x.refresh(e, key)
	x.p.sendEntry(x.Exchange, e, now, rfc9111.CacheStatus{Hit: true, TTL: min(-1, -int64(now-at)/int64(time.Second)), Detail: Changed})
	x.done(stale, Changed)
	return true
}

// withoutFlight handles what never makes a flight.
func (x *exchange) withoutFlight(e *entry, key string, now coherence.Nanos) bool {
	switch {
	case e == nil && x.Has(http1.Of(http1.Range)) && x.fromPart(now):
	case x.wish.OnlyIfCached:
		x.problem(http.StatusGatewayTimeout, pass, rfc9111.CacheStatus{Detail: OnlyIfCached}, sentences[OnlyIfCached])
	case e == nil && x.p.fills.memo.has(key, now):
		x.pass(pass, rfc9111.CacheStatus{Fwd: x.missed(key, e, now), Detail: Uncacheable})
	case e == nil && wantsStream(x.Request):
		x.pass(pass, rfc9111.CacheStatus{Fwd: x.missed(key, e, now), Detail: Stream})
	case e == nil && x.Has(http1.Of(http1.Range)):
		x.passAndKeep(pass, rfc9111.CacheStatus{Fwd: x.missed(key, e, now), Detail: PartialWanted})
	case x.head:
		x.pass(miss, rfc9111.CacheStatus{Fwd: x.missed(key, e, now)})
	default:
		return false
	}
	return true
}

// missed is why e, what is stored under key, doesn't answer the request (RFC
// 9211 section 2.2).
func (x *exchange) missed(key string, e *entry, now coherence.Nanos) rfc9111.Forward {
	switch {
	case e != nil && e.fresh > now:
		return rfc9111.FwdRequest
	case e != nil:
		return rfc9111.FwdStale
	case key != x.key:
		return rfc9111.FwdVaryMiss
	case x.Has(http1.Of(http1.Range)) && x.p.memory.peek(key+partSuffix) != nil:
		return rfc9111.FwdPartial
	}
	return rfc9111.FwdURIMiss
}
