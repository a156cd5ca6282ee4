package proxycache

import (
	"net/http"

	"walpurge/internal/coherence"
	"walpurge/internal/http1"
	"walpurge/internal/rfc9111"
	"walpurge/internal/upstream"
)

// validated refreshes a stale entry that the origin has confirmed (RFC 9111
// section 4.3.4): the fields of the 304 replace the stored ones, and the
// response is as new as this flight.
func (f *fetch) validated(a *rfc9111.Answer) {
	upstream.ConnectionFields(a.Header)
	merged := f.stale.header()
	rfc9111.Update(merged, a.Header)
	if _, said := merged[rfc9111.OwnTarget]; !said && len(f.stale.targeted()) > 0 {
		merged[rfc9111.OwnTarget] = f.stale.targeted()
	}
	stored := &rfc9111.Answer{Status: int(f.stale.status), Header: merged, Sent: a.Sent, Received: a.Received}
	v := rfc9111.Judge(&f.order.question, stored)
	f.entry.setApart(f.entry.groups(), merged[rfc9111.OwnTarget], f.asked)
	upstream.PassFields(merged)
	f.fills.positions.DropForeign(merged)
	via := merged["Via"]
	delete(merged, "Age")
	upstream.FinishHeader(merged, a.Received)
	if len(via) > 0 {
		merged["Via"] = via // it was added when the response was stored
	}
	block := http1.AppendFields(http1.AppendStatus(nil, stored.Status), merged)
	f.withhold(&v, stored, block)
	if f.own != nil {
		block = f.block
	}
	f.reusable = v.Lifetime > 0 && f.own == nil
	f.describe(&v, stored, rfc9111.VaryNames(merged))
	e := f.entry
	f.extend(merged)
	e.body = f.stale.body
	e.setHead(http1.FinishHead(block, int(e.status), len(e.body)))
	if f.order.route.Late {
		f.learn(f.lateDeps(merged, e.body))
	}
	f.fills.memory.finish(e)
	reason := v.Reason
	if v.Store {
		if reason = f.keep(); reason == NoReason {
			f.freshenChosen()
		}
	} else {
		f.closeHandle()
		f.fills.forget(f.stale)
	}
	f.complete(e, func(s *flightState) {
		s.fwdStatus, s.valid, s.kept, s.reason, s.shared = http.StatusNotModified, true, reason == NoReason, reason, v.Store && f.shareable()
		s.head, s.body, s.length, s.names = block, e.body, int64(len(e.body)), rfc9111.VaryNames(merged)
	})
	f.cancel(nil)
}

// freshened updates what is stored of a resource after a HEAD request for it
// was answered with 200 (RFC 9111 section 4.3.5): e becomes as new as that
// answer if nothing tells them apart, else it ends. It returns the response
// that is stored now; nil: none is, or nothing has changed. q, key and req are
// the HEAD request's.
func (t *fills) freshened(e *entry, a *rfc9111.Answer, q *rfc9111.Question, key string, req *http1.Request) *entry {
	if !rfc9111.Describes(a.Header, e.etag(), e.modified(), len(e.body)) {
		t.forget(e)
		return nil
	}
	if e.guarded {
		return nil // it is as new as its rows; nothing tells how new this answer is
	}
	merged, newer := e.header(), a.Header.Clone()
	upstream.ConnectionFields(newer)
	rfc9111.Update(merged, newer)
	if _, said := merged[rfc9111.OwnTarget]; !said && len(e.targeted()) > 0 {
		merged[rfc9111.OwnTarget] = e.targeted()
	}
	answer := &rfc9111.Answer{Status: int(e.status), Header: merged, Sent: a.Sent, Received: a.Received}
	v := rfc9111.Judge(q, answer)
	targeted := merged[rfc9111.OwnTarget]
	upstream.PassFields(merged)
	delete(merged, "Age")
	for _, name := range v.Withheld {
		delete(merged, name)
	}
	names := rfc9111.VaryNames(merged)
	if len(rfc9111.GroupNames(merged["Cache-Groups"])) > 0 { // only a fill enters groups
		t.forget(e)
		return nil
	}
	if !v.Store || len(names) > 0 && string(rfc9111.AppendVariant([]byte(key), names, req)) != e.key() || len(names) == 0 && e.key() != key {
		t.forget(e)
		return nil
	}
	now := t.now()
	n := &entry{memory: e.memory, route: e.route, status: e.status, body: e.body, received: now}
	n.setKey(e.key())
	n.setApart(nil, targeted, 0)
	n.judged(&v)
	n.setHead(http1.FinishHead(http1.AppendFields(http1.AppendStatus(nil, int(n.status)), merged), int(n.status), len(n.body)))
	t.memory.finish(n)
	if !t.memory.replace(e, n) {
		return nil
	}
	if t.redis != nil && n.portable() {
		t.redis.write(key, n, now)
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
