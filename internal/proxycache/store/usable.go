package store

import (
	"time"

	"walpurge/internal/coherence"
	"walpurge/internal/rfc9111"
)

// Judged takes over a verdict. The entry's received must be set.
func (e *Entry) Judged(v *rfc9111.Verdict) {
	e.Shared, e.Lenient = v.Shared, v.MayStale
	e.Age = coherence.Nanos(v.Age)
	e.Fresh = e.Received + coherence.Nanos(v.Lifetime)
	e.StaleWhileRevalidate, e.StaleIfError = LeewayOf(v.StaleWhileRevalidate), LeewayOf(v.StaleIfError)
}

// ReplacesError tells whether e may stand in for an error at now. bridge is how
// long past its lifetime the request takes it so.
func (e *Entry) ReplacesError(bridge, now coherence.Nanos) bool {
	sie := max(e.StaleIfError.Nanos(), bridge)
	return sie > 0 && now < e.Fresh+sie
}

// Current tells whether a response past its lifetime is still known to be what
// the rows say (G2 holds for errors, too).
func (m *Memory) Current(e *Entry, now coherence.Nanos) bool {
	return !e.Guarded || e.Usable(now, m.guard.Proven())
}

// An error never takes the place of a page that may still be used: not in the
// memory tier, where the origin wants the error kept, and not in Redis, where
// others read it.

// Outlasts tells whether e may still be used at now although an error has
// answered a request for it. One that says that the server can't answer now is
// no reason to end what is fresh, or may be used while a new response is
// fetched. Any other leaves what stands in for errors (RFC 5861 section 4).
func (e *Entry) Outlasts(status int, now coherence.Nanos) bool {
	switch {
	case !rfc9111.Fails(status) || rfc9111.Fails(int(e.Status)):
		return false
	case e.StaleIfError > 0 && now < e.Fresh+e.StaleIfError.Nanos():
		return true
	}
	return rfc9111.Passing(status) && now < e.Fresh+e.StaleWhileRevalidate.Nanos()
}

// Common tells whether e may lie in Redis as far as its status is concerned: an
// error may not, and what isn't kept by default says itself how long it lasts.
func (e *Entry) Common() bool {
	status := int(e.Status)
	return rfc9111.KeptByDefault(status) || !rfc9111.Fails(status) && rfc9111.Lasting(&rfc9111.Answer{Status: status, Header: e.Header()})
}

// CutGrace is how long past its lifetime a response without dependencies is
// served while the origin can't be reached (RFC 9111 section 4.2.4). It
// bridges a restart and hides no outage.
const CutGrace = coherence.Nanos(time.Minute)

// Bridges tells whether e may stand in for an origin that can't be reached.
func (e *Entry) Bridges(now coherence.Nanos) bool {
	return !e.Guarded && e.Lenient && now < e.Fresh+CutGrace
}

// Within tells whether a response with dependencies may be used at now though
// the last proof is since old. Without any proof, for instance because the
// server that gave it turned out to be another one, it may not.
func (e *Entry) Within(since time.Duration, now, proven coherence.Nanos, limit time.Duration) bool {
	return e.Guarded && proven != 0 && since <= limit && e.Handle.Live() && (now < e.Fresh || now < e.Fresh+e.StaleIfError.Nanos())
}
