package proxycache

import (
	"context"
	"slices"
	"time"

	"walpurge/internal/coherence"
	"walpurge/internal/http1"
	"walpurge/internal/rfc9111"
)

// flight joins the flight of key or starts one. It returns nil if a response
// has been stored since the caller found e.
func (x *exchange) flight(key string, e *entry, waited *flight, proven coherence.Nanos) (f *flight, leader bool) {
	alone := x.authorized || x.route.Strict || x.demand.strict || x.wish.NoCache || // R7
		e != nil && x.bridge(e) > e.sie.nanos() // others want another answer to an error
	if !alone {
		if f = x.p.flights.join(key, x.route, waited, x.demand); f != nil {
			return f, false
		}
	}
	own := x.newFlight(key, e)
	own.strict = alone
	own.pastRedis = x.p.redis != nil && !x.asksRedis()
	if e != nil {
		own.sie = x.bridge(e)
	}
	f = x.p.flights.start(own, waited, x.demand, func() bool {
		newer, _ := x.find()
		return newer != nil && newer != e && newer.usable(x.p.opt.Now(), proven)
	})
	if f != own {
		own.cancel(nil)
		return f, false
	}
	x.p.launch(f)
	return f, true
}

// refresh starts a fill in the background, unless one is on its way.
func (x *exchange) refresh(e *entry, key string) {
	if f := x.p.flights.join(key, x.route, nil, demand{}); f != nil {
		return
	}
	own := x.newFlight(key, e)
	own.left = true
	if x.p.flights.start(own, nil, demand{}, func() bool { return false }) == own {
		x.p.launch(own)
		return
	}
	own.cancel(nil)
}

func (x *exchange) newFlight(key string, e *entry) *flight {
	p, rt := x.p, x.route
	f := &flight{
		proxy: p, req: x.Request.Clone(), route: rt, primary: x.key, base: x.base, content: x.content, key: key, target: x.target,
		query: *x.question(),
		wake:  make(chan struct{}),
		state: flightState{length: -1},
		entry: &entry{memory: p.memory, route: rt, guarded: rt.guarded},
	}
	f.entry.setKey(key)
	f.header = p.requestHeader(x.Exchange, fillDrops)
	x.needsOfRequest(f.header)
	if rt != p.plain {
		rt.keepKeyedCookies(f.header)
		rt.dropOverrides(f.header)
	}
	if x.Has(http1.Of(http1.AcceptEncoding)) {
		f.header["Accept-Encoding"] = []string{rfc9111.AcceptEncoding(x.Request).String()}
	}
	if e != nil {
		f.fwd = x.missed(key, e, p.opt.Now())
	}
	if e == nil {
		f.beginAtPart(x)
		f.nameVariants(x)
	} else if e.validatable() || e.sie > 0 || e.bridges(p.opt.Now()) || x.bridge(e) > 0 {
		f.stale = e
		if etag := e.etag(); etag != "" {
			f.header["If-None-Match"] = []string{etag}
		}
		if modified := e.modified(); modified != "" {
			f.header["If-Modified-Since"] = []string{modified}
		}
	}
	if rt.guarded {
		f.deps = rt.bind(p.opt.Guard, x.subject())
	}
	if rt.late {
		f.header["Accept-Encoding"] = []string{"identity"} // what is compressed can't be read
		f.subject = x.subject()
		f.subject.req = f.req
		f.subject.path, _, _ = splitTarget(f.req)
		f.subject.places = slices.Clone(f.subject.places)
	}
	f.ctx, f.cancel = context.WithCancelCause(context.Background())
	f.parent = x
	return f
}

// question is what the policy has to know of the request.
func (x *exchange) question() *rfc9111.Question {
	rt := x.route
	return &rfc9111.Question{
		Authorization: x.authorized, TTL: rt.TTL, Guarded: rt.guarded, StaleWhileRevalidate: rt.StaleWhileRevalidate, StaleIfError: rt.StaleIfError,
		Heuristics: rt == x.p.plain && x.base == "" && !x.Has(http1.Of(http1.Cookie)),
	}
}

// launch starts the flight's goroutine.
func (p *Proxy) launch(f *flight) {
	f.timer = time.AfterFunc(p.opt.FillTimeout, f.timeUp)
	p.fills.Add(1)
	f.trace(f.parent)
	f.parent = nil // which goes on with its request
	go f.run()
}

// subject is what the route's expressions read.
func (x *exchange) subject() *subject {
	var query []byte
	if i := len(x.path); i < len(x.target) && x.target[i] == '?' {
		query = []byte(x.target[i+1:])
	}
	return x.Asked.subject(x.Request, query)
}
