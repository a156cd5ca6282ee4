package proxycache

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"go.opentelemetry.io/otel/trace"

	"walpurge/internal/coherence"
	"walpurge/internal/proxycache/http1"
)

// exchange is a request that the fast path didn't answer.
type exchange struct {
	*http1.Exchange
	p     *Proxy
	start coherence.Nanos
	route *route
	clean bool // servers agree on what the path is

	path, query []byte
	hasQuery    bool
	places      places
	key         string // the primary one
	base        string // of a QUERY: the key of its target
	content     []byte // of a QUERY
	target      string // as the origin gets it

	wish       wish
	demand     demand // the positions that it carries
	turns      bool   // to take turns with the fills
	lenient    bool   // a stored response may stand in for an origin that fails
	authorized bool
	head       bool

	stale  *entry  // of a HEAD request: what its answer may update
	keeper *keeper // of a passed request: what keeps its response

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
	asked := p.positions.take(ex.Request)
	if !p.fastHit(ex, now, asked) {
		ex.Found = asked
		return false
	}
	p.access(ex, now)
	return true
}

func (p *Proxy) access(ex *http1.Exchange, start coherence.Nanos) {
	if p.opt.Access != nil {
		p.opt.Access.note(ex, p.opt.Now()-start)
	}
}

// answer answers one request. It is a decision table: the first line that
// fits counts.
func (p *Proxy) answer(ex *http1.Exchange, now coherence.Nanos) {
	asked, tried := ex.Found.(demand)
	if !tried {
		asked = p.positions.take(ex.Request)
		if p.fastHit(ex, now, asked) {
			return
		}
	}
	if ex.Flush() != nil { // what follows may wait
		return
	}
	x := p.newExchange(ex, now)
	x.demand = asked
	x.trace()
	switch {
	case string(ex.Method) == "CONNECT":
		x.problem(http.StatusNotImplemented, pass, cacheStatus{detail: Tunnel}, "This proxy opens no tunnels.")
	case x.route.Events:
		x.serveLive()
	case x.endsHere():
		x.answerHere()
	case x.wantsUpgrade():
		x.upgrade()
	case x.hidesFields():
		x.pass(pass, cacheStatus{fwd: fwdRequest, detail: HiddenFields})
	case string(ex.Method) == methodQuery:
		x.answerQuery()
	case string(ex.Method) == "POST":
		x.passAndKeep(pass, cacheStatus{fwd: fwdMethod})
	case !isRead(ex.Method):
		x.pass(pass, cacheStatus{fwd: fwdMethod})
	case ex.Body != nil:
		x.pass(pass, cacheStatus{fwd: fwdRequest, detail: RequestBody})
	case !x.clean && p.routing.Load().guarded:
		x.pass(pass, cacheStatus{fwd: fwdBypass, detail: UncleanPath})
	case ex.Has(preconditions):
		x.pass(pass, cacheStatus{fwd: fwdRequest})
	case x.wish.noStore:
		x.pass(pass, cacheStatus{fwd: fwdRequest, detail: ClientNoStore})
	case x.route.TTL != nil && *x.route.TTL <= 0:
		x.pass(pass, cacheStatus{fwd: fwdBypass, detail: RouteTTL})
	default:
		x.lookup()
	}
}

func (p *Proxy) newExchange(ex *http1.Exchange, now coherence.Nanos) *exchange {
	x := &exchange{Exchange: ex, p: p, start: now, route: p.plain, head: string(ex.Method) == "HEAD"}
	x.path, x.query, x.hasQuery = splitTarget(ex.Request)
	x.clean = cleanPath(x.path)
	if x.clean {
		if m := p.routing.Load().router.match(x.path, &x.places); m != nil {
			x.route = m
		}
	}
	https, host := p.outside(ex)
	key, target := appendKey(nil, https, ex.Request, host, x.route, x.path, x.query, x.hasQuery)
	x.key, x.target = string(key), string(key[target.from:target.to])
	x.wish = parseWish(texts(ex.Request, http1.CacheControl), texts(ex.Request, http1.Pragma))
	x.authorized = ex.Has(http1.Of(http1.Authorization))
	return x
}

// texts lists the values of a known field.
func texts(req *http1.Request, id http1.ID) []string {
	if !req.Has(http1.Of(id)) {
		return nil
	}
	var all []string
	for i := range req.Fields {
		if req.Fields[i].ID == id {
			all = append(all, string(req.Fields[i].Value))
		}
	}
	return all
}

// subject is what the route's expressions read.
func (x *exchange) subject() *subject {
	s := &subject{req: x.Request, path: x.path, route: x.route, places: x.places.at[:x.places.n]}
	if i := len(x.path); i < len(x.target) && x.target[i] == '?' {
		s.query = []byte(x.target[i+1:])
	}
	return s
}

// maxAttempts is how often a request looks again after it has waited for a
// response that it could not share.
const maxAttempts = 2

// lookup answers a GET or HEAD from the tiers, from somebody's flight or with
// a flight of its own.
func (x *exchange) lookup() {
	var waited *flight
	asksRedis := x.p.redis != nil && x.wish.plain() && !x.authorized
	for attempt := 0; attempt < maxAttempts; attempt++ {
		now, proven := x.p.opt.Now(), coherence.Nanos(0)
		if x.route.guarded {
			var reason Reason
			if proven, reason = x.proof(now); reason != NoReason {
				x.bypass(reason)
				return
			}
		}
		e, key := x.find()
		if e != nil && x.fromChanged(e, key, now) {
			return
		}
		if e != nil && (!e.usable(now, proven) || x.authorized && !e.shared) {
			e = nil
		}
		if e != nil && x.fromMemory(e, key, now) {
			return
		}
		if x.withoutFlight(e, key, now) {
			return
		}
		if asksRedis && e == nil && !x.p.flights.flying(key) {
			answered, again := x.fromRedis()
			if answered {
				return
			}
			asksRedis = false
			if again {
				attempt--
				continue
			}
		}
		f, leader := x.flight(key, e, waited, proven)
		if f == nil { // stored since we looked: look again
			continue
		}
		if leader {
			x.follow(f, true)
			f.leave()
			return
		}
		again, alone := x.follow(f, false)
		if !again {
			return
		}
		if alone {
			break
		}
		waited = f
	}
	x.turns = x.route.guarded
	x.pass(miss, cacheStatus{fwd: fwdURIMiss, detail: x.p.memo.reason(x.key, x.p.opt.Now())})
}

// proof returns the proof of freshness that a cached response of the route
// needs (G2, G4), or why there is none.
func (x *exchange) proof(now coherence.Nanos) (coherence.Nanos, Reason) {
	g := x.p.opt.Guard
	if x.route.Strict || !x.p.positions.covered(x.demand) {
		if x.p.opt.Prove == nil {
			return 0, StrictRead
		}
		ctx, cancel := context.WithTimeout(context.Background(), x.p.opt.StrictWait)
		defer cancel()
		if err := x.p.opt.Prove(ctx, x.start); err != nil {
			return 0, StrictRead
		}
		if proven := g.Proven(); proven >= x.start {
			return proven, NoReason
		}
		return 0, StrictRead
	}
	proven := g.Proven()
	if proven == 0 || now-proven > coherence.Nanos(x.route.MaxLag) {
		return 0, Unproven
	}
	return proven, NoReason
}

// find looks into the memory tier. key is the variant's where the response
// is known to vary.
func (x *exchange) find() (e *entry, key string) {
	e, key = x.p.memory.get([]byte(x.key)), x.key
	if e == nil && x.base == "" && !x.route.guarded {
		for _, other := range x.p.memory.searchKeys(x.key) {
			if e = x.p.memory.get([]byte(other)); e != nil {
				key = other
				break
			}
		}
	}
	primary := key
	if e != nil && e.variants() != nil {
		key = string(appendVariant([]byte(primary), e.variants().names, x.Request))
		v := e.variants()
		if e = x.p.memory.get([]byte(key)); e == nil && slices.Contains(v.names, "accept-language") {
			e, key = x.inLanguage(v, key)
		}
	}
	if e != nil && e.route != x.route { // kept by a declaration that is no more
		return nil, key
	}
	return e, key
}

// fromMemory answers with e if the request and the lifetimes allow it.
func (x *exchange) fromMemory(e *entry, key string, now coherence.Nanos) bool {
	left := e.fresh - now
	age := time.Duration(e.age + now - e.received)
	switch {
	case left > 0 && x.wish.admits(age, time.Duration(left)):
		x.p.sendEntry(x.Exchange, e, now, cacheStatus{hit: true, ttl: e.ttlAt(now)})
		x.done(hit, NoReason)
		if x.p.audit != nil && e.guarded {
			x.p.audit.hit(x.Exchange, e, x.route, now)
		}
		return true
	case left <= 0 && e.lenient && x.wish.admitsStale(age, time.Duration(-left)):
		x.p.sendEntry(x.Exchange, e, now, cacheStatus{hit: true, ttl: e.ttlAt(now)})
		x.done(stale, NoReason)
		return true
	case left <= 0 && -left < e.swr.nanos() && x.wish.plain():
		x.p.sendEntry(x.Exchange, e, now, cacheStatus{hit: true, ttl: e.ttlAt(now)})
		x.done(stale, NoReason)
		x.refresh(e, key)
		return true
	}
	return false
}

// fromChanged answers with a response that a row has changed under, if the
// route allows that for so long. It is no answer for whoever carries a
// position or wants anything but what is there: they must not get what is older
// than their own write (G3). The proof of freshness bounds how late the change
// was heard of.
func (x *exchange) fromChanged(e *entry, key string, now coherence.Nanos) bool {
	at := e.changed()
	if at == 0 {
		return false
	}
	if now-at >= e.changedFor() || e.handle.Epoch() != x.p.opt.Guard.Epoch() {
		x.p.memory.removeEntry(e)
		return false
	}
	if now >= e.fresh || !x.wish.plain() || x.authorized || x.demand.strict || x.demand.lsn != 0 {
		return false
	}
	x.refresh(e, key)
	x.p.sendEntry(x.Exchange, e, now, cacheStatus{hit: true, ttl: min(-1, -int64(now-at)/int64(time.Second)), detail: Changed})
	x.done(stale, Changed)
	return true
}

// withoutFlight handles what never makes a flight.
func (x *exchange) withoutFlight(e *entry, key string, now coherence.Nanos) bool {
	switch {
	case e == nil && x.Has(http1.Of(http1.Range)) && x.fromPart(now):
	case x.wish.onlyIfCached:
		x.problem(http.StatusGatewayTimeout, pass, cacheStatus{detail: OnlyIfCached}, sentences[OnlyIfCached])
	case e == nil && x.p.memo.has(key, now):
		x.pass(pass, cacheStatus{fwd: x.missed(key, e, now), detail: Uncacheable})
	case e == nil && x.Has(http1.Of(http1.Range)):
		x.passAndKeep(pass, cacheStatus{fwd: x.missed(key, e, now), detail: PartialWanted})
	case x.head:
		x.stale = e
		x.pass(miss, cacheStatus{fwd: x.missed(key, e, now)})
	default:
		return false
	}
	return true
}

// missed is why e, what is stored under key, doesn't answer the request (RFC
// 9211 section 2.2).
func (x *exchange) missed(key string, e *entry, now coherence.Nanos) forward {
	switch {
	case e != nil && e.fresh > now:
		return fwdRequest
	case e != nil:
		return fwdStale
	case key != x.key:
		return fwdVaryMiss
	case x.Has(http1.Of(http1.Range)) && x.p.memory.peek(key+partSuffix) != nil:
		return fwdPartial
	}
	return fwdURIMiss
}

// flight joins the flight of key or starts one. It returns nil if a response
// has been stored since the caller found e.
func (x *exchange) flight(key string, e *entry, waited *flight, proven coherence.Nanos) (f *flight, leader bool) {
	alone := x.authorized || x.route.Strict || x.demand.strict || x.wish.noCache || // R7
		e != nil && x.bridge(e) > e.sie.nanos() // others want another answer to an error
	if !alone {
		if f = x.p.flights.join(key, x.route, waited, x.demand); f != nil {
			return f, false
		}
	}
	own := x.newFlight(key, e)
	own.strict = alone
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
		f.header["Accept-Encoding"] = []string{acceptEncoding(x.Request).String()}
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
func (x *exchange) question() *question {
	rt := x.route
	return &question{
		authorization: x.authorized, ttl: rt.TTL, guarded: rt.guarded, swr: rt.StaleWhileRevalidate, sie: rt.StaleIfError,
		heuristics: rt == x.p.plain && x.base == "" && !x.Has(http1.Of(http1.Cookie)),
	}
}

// launch starts the flight's goroutine.
func (p *Proxy) launch(f *flight) {
	f.timer = time.AfterFunc(p.opt.FillTimeout, func() { f.cancel(errFillTimeout) })
	p.fills.Add(1)
	f.trace(f.parent)
	f.parent = nil // which goes on with its request
	go f.run()
}

// problem answers with a problem document.
func (x *exchange) problem(status int, o outcome, cs cacheStatus, sentence string) {
	body := problemBody(status, sentence)
	_ = x.Send(problemHead(x.Buffer(), status, cs.String(), len(body), time.Now()), body)
	x.done(o, cs.detail)
}

// done counts the request.
func (x *exchange) done(o outcome, reason Reason) {
	x.endTrace(o, reason)
	took := x.p.opt.Now() - x.start
	x.route.counters[o].count(took)
	if o != pass && o != bypass {
		x.p.top.note(x.key, o == hit || o == stale, x.start)
	}
	x.Note.Route, x.Note.Outcome, x.Note.Reason = x.route.label, outcomeNames[o], string(reason)
	if x.p.log.Enabled(context.Background(), slog.LevelDebug) {
		x.p.log.Debug("request", "method", string(x.Method), "route", x.route.label, "outcome", outcomeNames[o], "reason", string(reason))
	}
}

// label names a route in the log.
func (p *Proxy) label(rt *route) string { return rt.label }
