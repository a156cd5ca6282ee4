package proxycache

import (
	"strconv"

	"walpurge/internal/coherence"
	"walpurge/internal/http1"
	"walpurge/internal/proxycache/outcome"
	"walpurge/internal/proxycache/position"
	"walpurge/internal/proxycache/route"
	"walpurge/internal/proxycache/store"
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
	e := p.memory.Get(key)
	if e != nil && e.Variants() != nil {
		key = rfc9111.AppendVariant(key, e.Variants().Names, ex.Request)
		e = p.memory.Get(key)
	}
	*scratch = key[:0]
	p.scratch.Put(scratch)
	if e == nil || e.Route != rt || now >= e.Fresh {
		return false
	}
	var proven coherence.Nanos
	if e.Guarded {
		proven = p.opt.Guard.Proven() // C1: before the handle
	}
	if !e.Usable(now, proven) {
		return false
	}
	p.sendHit(ex, e, now)
	rt.Counters[outcome.Hit].Count(p.opt.Now() - now)
	p.top.note(e.Key(), true, now)
	ex.Note.Route, ex.Note.Outcome = rt.Label, outcome.Hit.Name()
	if e.Guarded && p.audit.Picks() {
		p.newExchange(ex, now, https, host).sample(e)
	}
	return true
}

func isRead(method []byte) bool {
	return string(method) == "GET" || string(method) == "HEAD"
}

// sendHit sends e as it lies in the memory tier, or that it hasn't changed.
func (p *Proxy) sendHit(ex *http1.Exchange, e *store.Entry, now coherence.Nanos) {
	b, body := ex.Buffer(), []byte(nil)
	if tag, same := store.NotModified(ex.Request, e); same {
		b = store.Append304(b, e.Sent(), tag)
	} else {
		f := e.Form(ex.Request)
		b, body = append(b, f.Head...), f.Body
	}
	b = appendAge(b, e.AgeAt(now))
	b = append(b, "Cache-Status: walpurge; hit; ttl="...)
	b = strconv.AppendInt(b, e.TTLAt(now), 10)
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
func (p *Proxy) sendEntry(ex *http1.Exchange, e *store.Entry, now coherence.Nanos, cs rfc9111.CacheStatus) {
	plain := e.Plain()
	b, body := ex.Buffer(), []byte(nil)
	from, size := e.Extent()
	ranges, ok := store.WantedRanges(ex.Request, e, size)
	if tag, same := store.NotModified(ex.Request, e); same {
		b = store.Append304(b, plain.Head, tag)
	} else if ok && (string(ex.Method) == "GET" || e.Part() != nil) {
		b, body = store.AppendRanges(b, e, plain.Head, ranges, from, size) // of a coded form nobody knows the ranges
	} else {
		f := plain
		if !store.ForbidsTransform(ex.Get(http1.CacheControl)) {
			f = e.Form(ex.Request)
		}
		b, body = append(b, f.Head...), f.Body
	}
	if age := e.AgeAt(now); cs.Hit || age > 0 {
		b = appendAge(b, age)
	}
	b = p.appendTiming(cs.Append(b), &cs, e, now)
	_ = ex.Send(b, body)
}

// appendTiming appends Server-Timing where it is asked for. e may be nil.
func (p *Proxy) appendTiming(dst []byte, cs *rfc9111.CacheStatus, e *store.Entry, now coherence.Nanos) []byte {
	if !p.opt.ServerTiming {
		return dst
	}
	return store.AppendTiming(dst, cs, e, now)
}
