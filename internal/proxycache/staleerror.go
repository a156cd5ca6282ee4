package proxycache

import (
	"slices"
	"time"

	"walpurge/internal/coherence"
	"walpurge/internal/proxycache/outcome"
	"walpurge/internal/rfc9111"
)

// failed tells whether a response is an error that a stale one stands in for
// (RFC 5861 section 4).
func (f *fetch) failed(a *rfc9111.Answer) bool {
	if !failing(a.Status) || f.stale == nil || f.chosen != nil || !f.stale.replacesError(f.order.bridge, f.fills.now()) {
		return false
	}
	return f.fills.memory.current(f.stale, f.fills.now())
}

// replacesError tells whether e may stand in for an error at now. bridge is how
// long past its lifetime the request takes it so.
func (e *entry) replacesError(bridge, now coherence.Nanos) bool {
	sie := max(e.sie.nanos(), bridge)
	return sie > 0 && now < e.fresh+sie
}

// current tells whether a response past its lifetime is still known to be what
// the rows say (G2 holds for errors, too).
func (m *memory) current(e *entry, now coherence.Nanos) bool {
	return !e.guarded || e.usable(now, m.guard.Proven())
}

// standIn is what answers a request in the place of the flight, which has
// failed; nil: nothing does. validated tells that the request wants nothing
// that isn't validated.
func (f *Flight) standIn(s *flightState, validated bool) *entry {
	e, now := s.stale, f.fills.now()
	if e == nil {
		return nil
	}
	if e.replacesError(f.order.bridge, now) && f.fills.memory.current(e, now) || !validated && e.bridges(now) {
		return e
	}
	return nil
}

// An error never takes the place of a page that may still be used: not in the
// memory tier, where the origin wants the error kept, and not in Redis, where
// others read it.

// outlasts tells whether e may still be used at now although an error has
// answered a request for it. One that says that the server can't answer now is
// no reason to end what is fresh, or may be used while a new response is
// fetched. Any other leaves what stands in for errors (RFC 5861 section 4).
func (e *entry) outlasts(status int, now coherence.Nanos) bool {
	switch {
	case !rfc9111.Fails(status) || rfc9111.Fails(int(e.status)):
		return false
	case e.sie > 0 && now < e.fresh+e.sie.nanos():
		return true
	}
	return rfc9111.Passing(status) && now < e.fresh+e.swr.nanos()
}

// givesWay tells whether a response with that status may not be stored because
// of what is: under the key that it would get, under the key without variant,
// or under any variant's, which nothing would lead to any more. What Redis has
// is not known of a request that couldn't be answered from there.
func (f *fetch) givesWay(status int) bool {
	if !rfc9111.Fails(status) {
		return false
	}
	if f.pastRedis() {
		return true
	}
	now := f.fills.now()
	for _, key := range []string{f.order.key, f.order.primary, f.alias} {
		e := f.fills.memory.peek(key)
		if e == nil {
			continue
		}
		if e.outlasts(status, now) {
			return true
		}
		if v := e.variants(); v != nil && slices.ContainsFunc(v.list(), func(key string) bool {
			e := f.fills.memory.peek(key)
			return e != nil && e.outlasts(status, now)
		}) {
			return true
		}
	}
	return false
}

// pastRedis tells that there is a Redis tier, and that what it holds was not
// what the request wanted.
func (f *fetch) pastRedis() bool {
	return f.fills.redis != nil && !f.order.background && (!f.order.plain || f.order.authorized)
}

// common tells whether e may lie in Redis as far as its status is concerned: an
// error may not, and what isn't kept by default says itself how long it lasts.
func (e *entry) common() bool {
	status := int(e.status)
	return rfc9111.KeptByDefault(status) || !rfc9111.Fails(status) && rfc9111.Lasting(&rfc9111.Answer{Status: status, Header: e.header()})
}

// bridge is how long past its lifetime the request takes e in the place of an
// error (RFC 5861 section 4), if e may be used past it at all.
func (x *exchange) bridge(e *entry) coherence.Nanos {
	if !e.lenient || x.wish.NoCache {
		return 0
	}
	return coherence.Nanos(x.wish.StaleIfError())
}

// bridged is the answer to a request that was passed on, and to which the origin
// has given none: what is stored past its lifetime, if that may be used so.
func (x *exchange) bridged(v *verdict, reason Reason, unreachable bool) (instead verdict, ok bool) {
	e, now := v.stale, x.p.opt.Now()
	if e == nil || x.p.memory.peek(e.key()) != e {
		return verdict{}, false
	}
	if (!e.replacesError(x.bridge(e), now) || !x.p.memory.current(e, now)) && !(unreachable && !x.wish.NoCache && e.bridges(now)) {
		return verdict{}, false
	}
	return fromCache(outcome.Stale, e, now, reason), true
}

// cutGrace is how long past its lifetime a response without dependencies is
// served while the origin can't be reached (RFC 9111 section 4.2.4). It
// bridges a restart and hides no outage.
const cutGrace = coherence.Nanos(time.Minute)

// bridges tells whether e may stand in for an origin that can't be reached.
func (e *entry) bridges(now coherence.Nanos) bool {
	return !e.guarded && e.lenient && now < e.fresh+cutGrace
}
