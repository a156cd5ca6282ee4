package fill

import (
	"net/http"

	"walpurge/internal/http1"
	"walpurge/internal/proxycache/outcome"
	"walpurge/internal/proxycache/store"
	"walpurge/internal/rfc9111"
	"walpurge/internal/upstream"
)

// validated refreshes a stale entry that the origin has confirmed (RFC 9111
// section 4.3.4): the fields of the 304 replace the stored ones, and the
// response is as new as this flight.
func (f *fetch) validated(a *rfc9111.Answer) {
	upstream.ConnectionFields(a.Header)
	merged := f.stale.Header()
	rfc9111.Update(merged, a.Header)
	if _, said := merged[rfc9111.OwnTarget]; !said && len(f.stale.Targeted()) > 0 {
		merged[rfc9111.OwnTarget] = f.stale.Targeted()
	}
	stored := &rfc9111.Answer{Status: int(f.stale.Status), Header: merged, Sent: a.Sent, Received: a.Received}
	v := rfc9111.Judge(&f.Order.Question, stored)
	f.Entry.SetExtras(f.Entry.Groups(), merged[rfc9111.OwnTarget], f.asked)
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
	e := f.Entry
	f.extend(merged)
	e.Body = f.stale.Body
	e.SetHead(http1.FinishHead(block, int(e.Status), len(e.Body)))
	if f.Order.Route.Late {
		f.learn(f.lateDeps(merged, e.Body))
	}
	f.fills.memory.Finish(e)
	reason := v.Reason
	if v.Store {
		if reason = f.keep(); reason == outcome.NoReason {
			f.freshenChosen()
		}
	} else {
		f.closeHandle()
		f.fills.forget(f.stale)
	}
	f.complete(e, func(s *State) {
		s.fwdStatus, s.Valid, s.kept, s.Reason, s.Shared = http.StatusNotModified, true, reason == outcome.NoReason, reason, v.Store && f.shareable()
		s.Head, s.Body, s.Length, s.names = block, e.Body, int64(len(e.Body)), rfc9111.VaryNames(merged)
	})
	f.cancel(nil)
}

// Freshened updates what is stored of a resource after a HEAD request for it
// was answered with 200 (RFC 9111 section 4.3.5): e becomes as new as that
// answer if nothing tells them apart, else it ends. It returns the response
// that is stored now; nil: none is, or nothing has changed. q, key and req are
// the HEAD request's.
func (t *Fills) Freshened(e *store.Entry, a *rfc9111.Answer, q *rfc9111.Question, key string, req *http1.Request) *store.Entry {
	if !rfc9111.Describes(a.Header, e.ETag(), e.Modified(), len(e.Body)) {
		t.forget(e)
		return nil
	}
	if e.Guarded {
		return nil // it is as new as its rows; nothing tells how new this answer is
	}
	merged, newer := e.Header(), a.Header.Clone()
	upstream.ConnectionFields(newer)
	rfc9111.Update(merged, newer)
	if _, said := merged[rfc9111.OwnTarget]; !said && len(e.Targeted()) > 0 {
		merged[rfc9111.OwnTarget] = e.Targeted()
	}
	answer := &rfc9111.Answer{Status: int(e.Status), Header: merged, Sent: a.Sent, Received: a.Received}
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
	if !v.Store || len(names) > 0 && string(rfc9111.AppendVariant([]byte(key), names, req)) != e.Key() || len(names) == 0 && e.Key() != key {
		t.forget(e)
		return nil
	}
	now := t.now()
	n := &store.Entry{Memory: e.Memory, Route: e.Route, Status: e.Status, Body: e.Body, Received: now}
	n.SetKey(e.Key())
	n.SetExtras(nil, targeted, 0)
	n.Judged(&v)
	n.SetHead(http1.FinishHead(http1.AppendFields(http1.AppendStatus(nil, int(n.Status)), merged), int(n.Status), len(n.Body)))
	t.memory.Finish(n)
	if !t.memory.Replace(e, n) {
		return nil
	}
	if n.Portable() {
		t.redis.Write(key, n, now)
	}
	return n
}
