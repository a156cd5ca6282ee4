package fill

import (
	"slices"

	"walpurge/internal/proxycache/store"
	"walpurge/internal/rfc9111"
)

// failed tells whether a response is an error that a stale one stands in for
// (RFC 5861 section 4).
func (f *fetch) failed(a *rfc9111.Answer) bool {
	if !Failing(a.Status) || f.stale == nil || f.chosen != nil || !f.stale.ReplacesError(f.Order.Bridge, f.fills.now()) {
		return false
	}
	return f.fills.memory.Current(f.stale, f.fills.now())
}

// StandIn is what answers a request in the place of the flight, which has
// failed; nil: nothing does. validated tells that the request wants nothing
// that isn't validated.
func (f *Flight) StandIn(s *State, validated bool) *store.Entry {
	e, now := s.stale, f.fills.now()
	if e == nil {
		return nil
	}
	if e.ReplacesError(f.Order.Bridge, now) && f.fills.memory.Current(e, now) || !validated && e.Bridges(now) {
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
	for _, key := range []string{f.Order.Key, f.Order.Primary, f.alias} {
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
	return f.fills.redis != nil && !f.Order.Background && (!f.Order.Plain || f.Order.Authorized)
}

// Failing tells whether a status says that the origin can't answer (RFC 5861
// section 4).
func Failing(status int) bool {
	switch status {
	case 500, 502, 503, 504:
		return true
	}
	return false
}
