package proxycache

import (
	"time"

	"walpurge/internal/coherence"
	"walpurge/internal/proxycache/rfc9111"
)

// freshened updates what is stored of a resource after a HEAD request for it
// was answered with 200 (RFC 9111 section 4.3.5): e becomes as new as that
// answer if nothing tells them apart, else it ends. It returns the response
// that is stored now.
func (x *exchange) freshened(e *entry, a *rfc9111.Answer) *entry {
	if !rfc9111.Describes(a.Header, e.etag(), e.modified(), len(e.body)) {
		x.p.forget(e)
		return nil
	}
	if e.guarded {
		return nil // it is as new as its rows; nothing tells how new this answer is
	}
	merged, newer := e.header(), a.Header.Clone()
	connectionFields(newer)
	rfc9111.Update(merged, newer)
	if _, said := merged[rfc9111.OwnTarget]; !said && len(e.targeted()) > 0 {
		merged[rfc9111.OwnTarget] = e.targeted()
	}
	answer := &rfc9111.Answer{Status: int(e.status), Header: merged, Sent: a.Sent, Received: a.Received}
	v := rfc9111.Judge(x.question(), answer)
	targeted := merged[rfc9111.OwnTarget]
	passFields(merged)
	delete(merged, "Age")
	for _, name := range v.Withheld {
		delete(merged, name)
	}
	names := rfc9111.VaryNames(merged)
	if len(rfc9111.GroupNames(merged["Cache-Groups"])) > 0 { // only a fill enters groups
		x.p.forget(e)
		return nil
	}
	if !v.Store || len(names) > 0 && string(rfc9111.AppendVariant([]byte(x.key), names, x.Request)) != e.key() || len(names) == 0 && e.key() != x.key {
		x.p.forget(e)
		return nil
	}
	now := x.p.opt.Now()
	n := &entry{memory: e.memory, route: e.route, status: e.status, body: e.body, received: now}
	n.setKey(e.key())
	n.setApart(nil, targeted, 0)
	n.judged(&v)
	n.setHead(finishHead(appendFields(appendStatus(nil, int(n.status)), merged), int(n.status), len(n.body)))
	x.p.finish(n)
	if !x.p.memory.replace(e, n) {
		return nil
	}
	if x.p.redis != nil && n.portable() {
		x.p.redis.write(x.key, n, now)
	}
	return n
}

// judged takes over a verdict. The entry's received must be set.
func (e *entry) judged(v *rfc9111.Verdict) {
	e.shared, e.lenient = v.Shared, v.MayStale
	e.age = coherence.Nanos(v.Age)
	e.fresh = e.received + coherence.Nanos(v.Lifetime)
	e.swr, e.sie = leewayOf(v.StaleWhileRevalidate), leewayOf(v.StaleIfError)
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
