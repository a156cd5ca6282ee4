package proxycache

import (
	"slices"

	"walpurge/internal/coherence"
	"walpurge/internal/proxycache/outcome"
	"walpurge/internal/proxycache/store"
	"walpurge/internal/rfc9111"
)

// failed tells whether a response is an error that a stale one stands in for
// (RFC 5861 section 4).
func (f *fetch) failed(a *rfc9111.Answer) bool {
	if !failing(a.Status) || f.stale == nil || f.chosen != nil || !f.stale.ReplacesError(f.order.bridge, f.fills.now()) {
		return false
	}
	return f.fills.memory.Current(f.stale, f.fills.now())
}

// standIn is what answers a request in the place of the flight, which has
// failed; nil: nothing does. validated tells that the request wants nothing
// that isn't validated.
func (f *Flight) standIn(s *flightState, validated bool) *store.Entry {
	e, now := s.stale, f.fills.now()
	if e == nil {
		return nil
	}
	if e.ReplacesError(f.order.bridge, now) && f.fills.memory.Current(e, now) || !validated && e.Bridges(now) {
		return e
	}
	return nil
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
		e := f.fills.memory.Peek(key)
		if e == nil {
			continue
		}
		if e.Outlasts(status, now) {
			return true
		}
		if v := e.Variants(); v != nil && slices.ContainsFunc(v.List(), func(key string) bool {
			e := f.fills.memory.Peek(key)
			return e != nil && e.Outlasts(status, now)
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
func (x *exchange) bridged(v *verdict, reason Reason, unreachable bool) (instead verdict, ok bool) {
	e, now := v.stale, x.p.opt.Now()
	if e == nil || x.p.memory.Peek(e.Key()) != e {
		return verdict{}, false
	}
	if (!e.ReplacesError(x.bridge(e), now) || !x.p.memory.Current(e, now)) && !(unreachable && !x.wish.NoCache && e.Bridges(now)) {
		return verdict{}, false
	}
	return fromCache(outcome.Stale, e, now, reason), true
}
