package proxycache

import (
	"context"
	"log/slog"

	"go.opentelemetry.io/otel/trace"

	"walpurge/internal/coherence"
	"walpurge/internal/http1"
	"walpurge/internal/proxycache/outcome"
	"walpurge/internal/proxycache/position"
	"walpurge/internal/proxycache/route"
	"walpurge/internal/rfc9111"
)

// exchange is a request that the fast path didn't answer: what is asked. It is
// written while that is read, and not changed after; what becomes of it is a
// verdict.
type exchange struct {
	*http1.Exchange
	route.Asked
	p     *Proxy
	start coherence.Nanos

	key     string // the primary one
	base    string // of a QUERY: the key of its target
	content []byte // of a QUERY
	target  string // as the origin gets it

	wish       rfc9111.Wish
	demand     position.Demand // the positions that it carries
	authorized bool
	head       bool

	gone <-chan struct{} // closed when the client is gone; nil: nobody watches

	span    trace.Span // nil: none
	spanned context.Context
}

// serve answers one request and notes it down.
func (p *Proxy) serve(ex *http1.Exchange) {
	now := p.opt.Now()
	p.answer(ex, now)
	p.access(ex, now)
}

// serveHit does so if the memory tier has the plain answer.
func (p *Proxy) serveHit(ex *http1.Exchange) bool {
	now := p.opt.Now()
	asked := p.positions.Take(ex.Request)
	if !p.fastHit(ex, now, asked) {
		ex.Found = p.positions.Shared(asked)
		return false
	}
	p.access(ex, now)
	return true
}

func (p *Proxy) access(ex *http1.Exchange, start coherence.Nanos) {
	if p.opt.Access != nil {
		p.opt.Access.Note(ex, p.opt.Now()-start)
	}
}

// answer answers one request.
func (p *Proxy) answer(ex *http1.Exchange, now coherence.Nanos) {
	var asked position.Demand
	if found, tried := ex.Found.(*position.Demand); tried {
		asked = *found
	} else {
		asked = p.positions.Take(ex.Request)
		if p.fastHit(ex, now, asked) {
			return
		}
	}
	if ex.Flush() != nil { // what follows may wait
		return
	}
	https, host := p.opt.Clients.Trusted.Outside(ex)
	x := p.newExchange(ex, now, https, host)
	x.demand = asked
	x.trace()
	x.act(x.decide())
}

// newExchange reads a request. https and host are what the client has asked
// for (downstream.Trust.Outside).
func (p *Proxy) newExchange(ex *http1.Exchange, now coherence.Nanos, https bool, host []byte) *exchange {
	x := &exchange{Exchange: ex, p: p, start: now, head: string(ex.Method) == "HEAD"}
	path, query, hasQuery := http1.SplitTarget(ex.Request)
	p.routing.Load().Read(&x.Asked, path, query, hasQuery)
	scratch := p.scratch.Get().(*[]byte) //nolint:forcetypeassert // its New makes nothing else
	key, target := x.AppendKey((*scratch)[:0], https, ex.Request, host)
	x.key = string(key)
	x.target = x.key[target.From:target.To]
	*scratch = key[:0]
	p.scratch.Put(scratch)
	x.wish = rfc9111.ParseWish(http1.Texts(ex.Request, http1.CacheControl), http1.Texts(ex.Request, http1.Pragma))
	x.authorized = ex.Has(http1.Of(http1.Authorization))
	return x
}

// done counts the request.
func (x *exchange) done(o outcome.Outcome, reason outcome.Reason) {
	x.endTrace(o, reason)
	took := x.p.opt.Now() - x.start
	x.Route.Counters[o].Count(took)
	if o != outcome.Pass && o != outcome.Bypass {
		x.p.top.note(x.key, o == outcome.Hit || o == outcome.Stale, x.start)
	}
	x.Note.Route, x.Note.Outcome, x.Note.Reason = x.Route.Label, o.Name(), string(reason)
	if x.p.log.Enabled(context.Background(), slog.LevelDebug) {
		x.p.log.Debug("request", "method", string(x.Method), "route", x.Route.Label, "outcome", o.Name(), "reason", string(reason))
	}
}
