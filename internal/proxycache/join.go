package proxycache

import (
	"net/http"
	"slices"

	"walpurge/internal/coherence"
	"walpurge/internal/http1"
	"walpurge/internal/proxycache/fill"
	"walpurge/internal/proxycache/position"
	"walpurge/internal/proxycache/store"
	"walpurge/internal/rfc9111"
)

// join joins the flight of key or starts one. It returns nil if a response has
// been stored since the caller found e.
func (x *exchange) join(key string, e *store.Entry, waited *fill.Flight, proven coherence.Nanos) (f *fill.Flight, leader bool) {
	fills := x.p.fills
	alone := x.authorized || x.Route.Strict || x.demand.Strict || x.wish.NoCache || // R7
		e != nil && x.bridge(e) > e.StaleIfError.Nanos() // others want another answer to an error
	if !alone {
		if f = fills.Flights.Join(key, x.Route, waited, x.demand); f != nil {
			return f, false
		}
	}
	o, header := x.order(key, e)
	o.Alone = alone
	return fills.Start(&o, header, waited, x.demand, func() bool {
		newer, _ := x.find()
		return newer != nil && newer != e && newer.Usable(x.p.opt.Now(), proven)
	})
}

// refresh starts a fill in the background, unless one is on its way.
func (x *exchange) refresh(e *store.Entry, key string) {
	fills := x.p.fills
	if f := fills.Flights.Join(key, x.Route, nil, position.Demand{}); f != nil {
		return
	}
	o, header := x.order(key, e)
	o.Background, o.Bridge = true, 0 // nobody waits for an answer to an error
	_, _ = fills.Start(&o, header, nil, position.Demand{}, func() bool { return false })
}

// order is what a fill for this request is for, and the header that it sends
// to the origin. e is what is stored under key, if anything is.
func (x *exchange) order(key string, e *store.Entry) (o fill.Order, header http.Header) {
	p, rt := x.p, x.Route
	o = fill.Order{
		Request: x.Request.Clone(), Route: rt, Key: key, Primary: x.key, Base: x.base, Target: x.target, Content: x.content,
		Question: x.question(), Plain: x.wish.Plain(), Authorized: x.authorized,
	}
	if x.span != nil {
		o.Traced = x.spanned
	}
	header = p.requestHeader(x.Exchange, fillDrops)
	x.needsOfRequest(header)
	if rt != p.plain {
		rt.KeepKeyedCookies(header)
		rt.DropOverrides(header)
	}
	if x.Has(http1.Of(http1.AcceptEncoding)) {
		header["Accept-Encoding"] = []string{rfc9111.AcceptEncoding(x.Request).String()}
	}
	if e != nil {
		now := p.opt.Now()
		o.Why, o.Bridge = x.missed(key, e, now), x.bridge(e)
		if e.Validatable() || e.StaleIfError > 0 || e.Bridges(now) || o.Bridge > 0 {
			o.Stale = e
		}
	}
	if rt.Guarded {
		o.Deps = rt.Bind(p.opt.Guard, x.Subject(x.Request, x.target))
	}
	if rt.Late {
		header["Accept-Encoding"] = []string{"identity"} // what is compressed can't be read
		o.Subject = x.Subject(o.Request, x.target)
		o.Subject.Path, _, _ = http1.SplitTarget(o.Request) // what it reads belongs to the order
		o.Subject.Places = slices.Clone(o.Subject.Places)
	}
	return o, header
}

// question is what the policy has to know of the request.
func (x *exchange) question() rfc9111.Question {
	rt := x.Route
	return rfc9111.Question{
		Authorization: x.authorized, TTL: rt.TTL, Guarded: rt.Guarded, StaleWhileRevalidate: rt.StaleWhileRevalidate, StaleIfError: rt.StaleIfError,
		Heuristics: rt == x.p.plain && x.base == "" && !x.Has(http1.Of(http1.Cookie)),
	}
}
