package proxycache

import (
	"strconv"

	"walpurge/internal/coherence"
	"walpurge/internal/http1"
	"walpurge/internal/proxycache/outcome"
	"walpurge/internal/proxycache/position"
	"walpurge/internal/proxycache/route"
	"walpurge/internal/rfc9111"
)

// special are the fields with which a request may want something else than
// the stored response as it is, or to be told that it has it.
var special = rfc9111.Preconditions | http1.Of(http1.Authorization, http1.CacheControl, http1.Pragma,
	http1.Range, http1.Upgrade)

// fastHit answers a plain GET or HEAD from the memory tier, or one that says
// what the client has. It allocates nothing and takes no lock; whatever isn't
// plain is left to decide.
func (p *Proxy) fastHit(ex *http1.Exchange, now coherence.Nanos, asked position.Demand) bool {
	if !p.positions.Covered(asked) { // before the handle, as C1
		return false
	}
	if ex.Has(special) || ex.Body != nil || !isRead(ex.Method) || ex.Target[0] != '/' {
		return false
	}
	var asks route.Asked
	path, query, hasQuery := http1.SplitTarget(ex.Request)
	p.routing.Load().Read(&asks, path, query, hasQuery)
	rt := asks.Route
	if !asks.Clean || rt.Strict {
		return false
	}
	scratch := p.scratch.Get().(*[]byte) //nolint:forcetypeassert // its New makes nothing else
	https, host := p.opt.Clients.Trusted.Outside(ex)
	key, _ := asks.AppendKey((*scratch)[:0], https, ex.Request, host)
	e := p.memory.get(key)
	if e != nil && e.variants() != nil {
		key = rfc9111.AppendVariant(key, e.variants().names, ex.Request)
		e = p.memory.get(key)
	}
	*scratch = key[:0]
	p.scratch.Put(scratch)
	if e == nil || e.route != rt || now >= e.fresh {
		return false
	}
	var proven coherence.Nanos
	if e.guarded {
		proven = p.opt.Guard.Proven() // C1: before the handle
	}
	if !e.usable(now, proven) {
		return false
	}
	p.sendHit(ex, e, now)
	rt.Counters[outcome.Hit].Count(p.opt.Now() - now)
	p.top.note(e.key(), true, now)
	ex.Note.Route, ex.Note.Outcome = rt.Label, outcome.Hit.Name()
	if p.audit != nil && e.guarded {
		p.audit.hit(ex, e, rt, now)
	}
	return true
}

func isRead(method []byte) bool {
	return string(method) == "GET" || string(method) == "HEAD"
}

// sendHit sends e as it lies in the memory tier, or that it hasn't changed.
func (p *Proxy) sendHit(ex *http1.Exchange, e *entry, now coherence.Nanos) {
	b, body := ex.Buffer(), []byte(nil)
	if tag, same := notModified(ex.Request, e); same {
		b = append304(b, e.sent(), tag)
	} else {
		f := e.form(ex.Request)
		b, body = append(b, f.head...), f.body
	}
	b = appendAge(b, e.ageAt(now))
	b = append(b, "Cache-Status: walpurge; hit; ttl="...)
	b = strconv.AppendInt(b, e.ttlAt(now), 10)
	b = append(b, '\r', '\n')
	if p.opt.ServerTiming {
		b = p.appendTiming(b, &rfc9111.CacheStatus{Hit: true}, e, now)
	}
	_ = ex.Send(b, body) // the client may be gone; there is nobody to tell
}

func appendAge(dst []byte, age int64) []byte {
	dst = append(dst, "Age: "...)
	dst = strconv.AppendInt(dst, age, 10)
	return append(dst, '\r', '\n')
}

// sendEntry sends a stored or a complete response, whole, in part or as 304.
func (p *Proxy) sendEntry(ex *http1.Exchange, e *entry, now coherence.Nanos, cs rfc9111.CacheStatus) {
	plain := e.plain()
	b, body := ex.Buffer(), []byte(nil)
	from, size := e.extent()
	ranges, ok := wantedRanges(ex.Request, e, size)
	if tag, same := notModified(ex.Request, e); same {
		b = append304(b, plain.head, tag)
	} else if ok && (string(ex.Method) == "GET" || e.part() != nil) {
		b, body = appendRanges(b, e, plain.head, ranges, from, size) // of a coded form nobody knows the ranges
	} else {
		f := plain
		if !forbidsTransform(ex.Get(http1.CacheControl)) {
			f = e.form(ex.Request)
		}
		b, body = append(b, f.head...), f.body
	}
	if age := e.ageAt(now); cs.Hit || age > 0 {
		b = appendAge(b, age)
	}
	b = p.appendTiming(cs.Append(b), &cs, e, now)
	_ = ex.Send(b, body)
}
