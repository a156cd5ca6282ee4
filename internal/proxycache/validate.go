package proxycache

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"walpurge/internal/coherence"
)

// confirmed tells whether a 304 with these fields is about e (RFC 9111 section
// 4.3.4): a validator that it has must be e's. One without any answers the
// validators that were sent.
func (e *entry) confirmed(h http.Header) bool {
	if etag := h.Get("Etag"); etag != "" {
		said := e.etag()
		if isWeak(etag) || isWeak(said) && !strings.HasPrefix(etag, `"`) {
			return strings.TrimPrefix(etag, "W/") == strings.TrimPrefix(said, "W/")
		}
		return etag == said
	}
	modified := h.Get("Last-Modified")
	return modified == "" || e.modified() == "" || modified == e.modified()
}

// update replaces stored fields by those of a newer response about the same
// (RFC 9111 section 3.2). What describes the stored bytes stays as it is. The
// age is the newer response's.
func update(stored, newer http.Header) {
	delete(stored, "Age")
	for name, values := range newer {
		switch name {
		case "Content-Length", "Content-Encoding", "Content-Range", "Via":
		default:
			stored[name] = values
		}
	}
}

// freshened updates what is stored of a resource after a HEAD request for it
// was answered with 200 (RFC 9111 section 4.3.5): e becomes as new as that
// answer if nothing tells them apart, else it ends. It returns the response
// that is stored now.
func (x *exchange) freshened(e *entry, a *answer) *entry {
	if !e.describedBy(a.header) {
		x.p.forget(e)
		return nil
	}
	if e.guarded {
		return nil // it is as new as its rows; nothing tells how new this answer is
	}
	merged, newer := e.header(), a.header.Clone()
	connectionFields(newer)
	update(merged, newer)
	if _, said := merged[ownTarget]; !said && len(e.targeted()) > 0 {
		merged[ownTarget] = e.targeted()
	}
	answer := &answer{status: int(e.status), header: merged, sent: a.sent, received: a.received}
	v := judge(x.question(), answer)
	targeted := merged[ownTarget]
	passFields(merged)
	delete(merged, "Age")
	for _, name := range v.withheld {
		delete(merged, name)
	}
	names := varyNames(merged)
	if len(groupNames(merged["Cache-Groups"])) > 0 { // only a fill enters groups
		x.p.forget(e)
		return nil
	}
	if !v.store || len(names) > 0 && string(appendVariant([]byte(x.key), names, x.Request)) != e.key() || len(names) == 0 && e.key() != x.key {
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

// describedBy tells whether the fields of an answer to HEAD can be e's.
func (e *entry) describedBy(h http.Header) bool {
	if etag := h.Get("Etag"); etag != "" && etag != e.etag() {
		return false
	}
	if modified := h.Get("Last-Modified"); modified != "" && modified != e.modified() {
		return false
	}
	length := h.Get("Content-Length")
	return length == "" || length == strconv.Itoa(len(e.body))
}

// judged takes over a verdict. The entry's received must be set.
func (e *entry) judged(v *verdict) {
	e.shared, e.lenient = v.shared, v.mayStale
	e.age = coherence.Nanos(v.age)
	e.fresh = e.received + coherence.Nanos(v.lifetime)
	e.swr, e.sie = leewayOf(v.swr), leewayOf(v.sie)
}

// bridge is how long past its lifetime the request takes e in the place of an
// error (RFC 5861 section 4), if e may be used past it at all.
func (x *exchange) bridge(e *entry) coherence.Nanos {
	if !e.lenient || x.wish.noCache {
		return 0
	}
	return coherence.Nanos(x.wish.staleIfError.duration())
}

// cutGrace is how long past its lifetime a response without dependencies is
// served while the origin can't be reached (RFC 9111 section 4.2.4). It
// bridges a restart and hides no outage.
const cutGrace = coherence.Nanos(time.Minute)

// bridges tells whether e may stand in for an origin that can't be reached.
func (e *entry) bridges(now coherence.Nanos) bool {
	return !e.guarded && e.lenient && now < e.fresh+cutGrace
}
