package proxycache

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"walpurge/internal/coherence"
)

// run is the flight's own goroutine.
func (f *flight) run() {
	p := f.proxy
	defer p.fills.Done()
	defer f.endTrace()
	defer func() {
		f.timer.Stop()
		p.flights.remove(f)
	}()
	resp, a := f.ask()
	if resp != nil {
		f.choose(a)
	}
	if resp != nil && f.unfit(a) {
		discard(resp.Body)
		resp, a = f.ask()
	}
	switch {
	case resp == nil:
	case a.status == http.StatusNotModified && f.stale != nil && f.stale.validatable():
		discard(resp.Body)
		f.validated(a)
	default:
		if f.part != nil && a.status == http.StatusPartialContent {
			f.part.complete(resp, a)
		}
		f.receive(resp, a)
	}
}

// ask sends the flight's request. A request that gets no response ends the
// flight.
func (f *flight) ask() (*http.Response, *answer) {
	p := f.proxy
	f.needsOfFill()
	req := p.upstream.request(f.ctx, f.method(), f.target, string(f.req.Host), f.header)
	if f.content != nil {
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(f.content)), int64(len(f.content))
	}
	sent := time.Now()
	f.asked = p.opt.Now()
	f.queued.Store(true)
	resp, err := p.upstream.fill(req, f.interim, func() {
		f.queued.Store(false)
		sent = time.Now()
	})
	if err != nil {
		f.fail(err)
		return nil, nil
	}
	a := &answer{status: resp.StatusCode, header: resp.Header, sent: sent, received: time.Now()}
	f.entry.received = p.opt.Now()
	return resp, a
}

// unfit tells whether a is an answer about something else than what is stored.
// What is stored is given up then, and the request is made one for the whole.
func (f *flight) unfit(a *answer) bool {
	switch {
	case a.status == http.StatusNotModified && f.stale != nil && !f.stale.confirmed(a.header):
		f.proxy.forget(f.stale)
		f.stale = nil
	case a.status == http.StatusNotModified && f.stale == nil && len(f.named) > 0:
		f.named = nil // it can't be told which one this is about
	case f.part != nil && (a.status == http.StatusPartialContent && !f.part.continued(a.header) || a.status == http.StatusRequestedRangeNotSatisfiable):
		f.proxy.forget(f.part)
		f.part = nil
	default:
		return false
	}
	for _, name := range []string{"If-None-Match", "If-Modified-Since", "If-Range", "Range"} {
		delete(f.header, name)
	}
	return true
}

// maxInterims bounds the interim responses before one that may be kept: they
// are held until the leader has them.
const maxInterims = 64

var errInterims = errors.New("the origin sends one interim response after the other")

// interim passes an interim response on to the leader (RFC 9110 section 15.2).
// It is no part of what is stored.
func (f *flight) interim(status int, h http.Header) error {
	connectionFields(h)
	head := appendFields(appendStatus(nil, status), h)
	full := false
	f.update(func(s *flightState) {
		if full = len(s.interim) == maxInterims; !full {
			s.interim = append(s.interim[:len(s.interim):len(s.interim)], head)
		}
	})
	if full {
		return errInterims
	}
	return nil
}

// fail ends a flight whose request got no response.
func (f *flight) fail(err error) {
	status, reason := originFault(f.ctx, err)
	f.proxy.log.Warn("origin request failed", "method", "GET", "route", f.proxy.label(f.route), "reason", string(reason), "error", err)
	f.closeHandle()
	f.proxy.flights.remove(f)
	f.update(func(s *flightState) { s.stage, s.status, s.reason = failed, status, reason })
	f.cancel(nil)
}

func (f *flight) closeHandle() {
	if f.guarded() {
		f.proxy.opt.Guard.Close(&f.entry.handle)
	}
}

// receive judges a response's head, and keeps the body or lets it go.
func (f *flight) receive(resp *http.Response, a *answer) {
	p := f.proxy
	connectionFields(a.header)
	v := judge(&f.query, a)
	if f.failed(a) {
		discard(resp.Body)
		f.closeHandle()
		f.proxy.flights.remove(f)
		f.update(func(s *flightState) { s.stage, s.status, s.reason = failed, http.StatusBadGateway, OriginFailed })
		f.cancel(nil)
		return
	}
	targeted := a.header[ownTarget]
	passFields(a.header)
	p.positions.dropForeign(a.header)
	if v.store {
		delete(a.header, "Age") // computed anew on every use
	}
	finishHeader(a.header, a.received)
	names := varyNames(a.header)
	head := appendFields(appendStatus(nil, a.status), a.header)
	f.withhold(&v, a, head)
	r := &rest{resp: resp, cancel: f.cancel}
	reason := v.reason
	if v.store && resp.ContentLength > p.opt.MaxObject {
		reason = TooLarge
	}
	if reason != NoReason {
		f.closeHandle()
		if f.stale != nil {
			p.forget(f.stale) // section 4.3.3: this response takes its place
		}
		if v.reason != NoReason {
			p.memo.add(f.key, p.opt.Now())
		} else {
			p.discarded(reason)
		}
		f.update(func(s *flightState) {
			s.fwdStatus, s.head, s.length, s.names = a.status, head, resp.ContentLength, names
		})
		f.release(r, reason)
		return
	}
	f.describe(&v, a, names)
	f.extend(a.header)
	f.entry.setApart(f.entry.groups(), targeted, f.asked)
	f.reusable = v.lifetime > 0 && f.own == nil
	arrived := &entry{status: uint16(a.status)}
	arrived.setHead(head)
	f.update(func(s *flightState) {
		s.stage, s.fwdStatus, s.head, s.length, s.names = arriving, a.status, head, resp.ContentLength, names
		s.entry = arrived
		s.kept, s.shared = f.keepable(), f.shareable()
		if !s.kept {
			s.reason = f.whyDead()
		}
	})
	f.readBody(resp, r)
}

// withhold takes the fields that aren't stored (RFC 9111 sections 5.2.2.4 and
// 5.2.2.7) out of a response. head has them: it is for the leader alone.
func (f *flight) withhold(v *verdict, a *answer, head []byte) {
	if !v.store || len(v.withheld) == 0 {
		return
	}
	for _, name := range v.withheld {
		delete(a.header, name)
	}
	f.own, f.block = head, appendFields(appendStatus(nil, a.status), a.header)
}

// describe fills in what the entry needs to know of its response.
func (f *flight) describe(v *verdict, a *answer, names []string) {
	e := f.entry
	e.status = uint16(a.status)
	e.judged(v)
	if !e.guarded {
		e.setApart(groupsOf(f.primary, a.header["Cache-Groups"]), e.targeted(), f.asked)
	}
	f.searched(a.header)
	key := f.stored()
	if len(names) > 0 {
		key = string(appendVariant([]byte(key), names, f.req))
	}
	e.setKey(key)
}

// keepable tells whether the response may be kept for all that is known yet.
func (f *flight) keepable() bool {
	return f.opened && !f.undeclared && !f.overtaken && !f.doomed.Load() && f.live()
}

// shareable tells whether those who have joined may have the response, too.
func (f *flight) shareable() bool { return f.reusable && !f.undeclared && !f.overtaken }

// stored is the key without variant under which the response is stored.
func (f *flight) stored() string {
	if f.alias != "" {
		return f.alias
	}
	return f.primary
}

func (f *flight) live() bool { return !f.guarded() || f.entry.handle.Live() }

// whyDead names why a response may not be kept.
func (f *flight) whyDead() Reason {
	c := f.cause.Load()
	switch {
	case f.doomed.Load():
		return Invalidated
	case f.undeclared:
		return Undeclared
	case !f.opened:
		return Pending
	case c != nil && c.Reason == "epoch":
		return NewEpoch
	}
	return Changed
}

// readBody reads the body to its end. What is longer than what may be kept is
// handed to the leader.
func (f *flight) readBody(resp *http.Response, r *rest) {
	p := f.proxy
	buf := make([]byte, 0, bodySize(resp.ContentLength))
	for {
		if int64(len(buf)) > p.opt.MaxObject {
			f.closeHandle()
			p.discarded(TooLarge)
			r.prefix = buf
			f.release(r, TooLarge)
			return
		}
		if len(buf) == cap(buf) {
			buf = slices.Grow(buf, max(len(buf), 4096))
		}
		n, err := resp.Body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if n > 0 {
			f.update(func(s *flightState) { s.body = buf })
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			discard(resp.Body)
			p.discarded(Incomplete)
			f.keepBeginning(resp.ContentLength, buf)
			f.fail(err)
			return
		}
	}
	discard(resp.Body)
	f.end(buf)
	f.cancel(nil)
}

// bodySize is the first size of a body's buffer: one more than announced, so
// that the end shows without growing.
func bodySize(length int64) int64 {
	if length < 0 {
		return 4096
	}
	return length + 1
}

// end stores a response after its clean end (C4) and tells who waits.
func (f *flight) end(body []byte) {
	e := f.entry
	if cap(body) > len(body)+len(body)/8+64 {
		body = bytes.Clone(body)
	}
	e.body = body
	f.mu.Lock()
	block := f.state.head
	f.mu.Unlock()
	if f.own != nil {
		block = f.block
	}
	e.setHead(finishHead(block, int(e.status), len(body)))
	if f.route.late {
		f.learn(f.lateDeps(e.header(), body))
	}
	f.proxy.finish(e)
	reason := f.keep()
	f.complete(e, func(s *flightState) {
		s.body, s.length = body, int64(len(body))
		s.kept, s.reason = reason == NoReason, reason
		s.shared = f.shareable()
	})
}

// complete ends the flight with a whole response.
func (f *flight) complete(e *entry, change func(*flightState)) {
	f.proxy.flights.remove(f)
	f.update(func(s *flightState) {
		s.stage, s.entry, s.shared = whole, e, true
		change(s)
	})
}

// keep admits the entry and puts it into the tiers (R3, C2).
func (f *flight) keep() Reason {
	p, e := f.proxy, f.entry
	if f.doomed.Load() {
		f.closeHandle()
		p.discarded(Invalidated)
		return Invalidated
	}
	if f.undeclared {
		f.closeHandle()
		p.memo.add(f.key, p.opt.Now()) // so that nobody waits for the next one
		p.discarded(Undeclared)
		return Undeclared
	}
	if e.guarded && !p.opt.Guard.Admit(&e.handle, e) {
		reason := f.whyDead()
		p.discarded(reason)
		return reason
	}
	if !p.store(f.stored(), e) {
		p.discarded(Changed)
		return Changed
	}
	switch {
	case f.content != nil:
		f.listQuestion()
	case f.alias != "":
		p.memory.take(f.primary)
	}
	if p.redis != nil && e.portable() && f.alias == "" { // it has no room for what the head doesn't say
		p.redis.write(f.primary, e, p.opt.Now())
	}
	return NoReason
}

// failed tells whether a response is an error that a stale one stands in for
// (RFC 5861 section 4).
func (f *flight) failed(a *answer) bool {
	if !failing(a.status) || f.stale == nil || f.chosen != nil || !f.mayReplaceError(f.proxy.opt.Now()) {
		return false
	}
	return !f.guarded() || f.stale.usable(f.proxy.opt.Now(), f.proxy.opt.Guard.Proven())
}

// mayReplaceError tells whether the stored response or the request lets it
// stand in for an error at now.
func (f *flight) mayReplaceError(now coherence.Nanos) bool {
	sie := max(f.stale.sie.nanos(), f.sie)
	return sie > 0 && now < f.stale.fresh+sie
}

// forget takes one response out of the tiers.
func (p *Proxy) forget(e *entry) {
	p.memory.removeEntry(e)
	if p.redis != nil {
		p.redis.remove(e.key())
	}
}

// store puts an admitted entry into the memory tier, behind a marker if the
// response varies.
func (p *Proxy) store(primary string, e *entry) bool {
	if e.key() != primary {
		v := p.memory.marker(primary, varyNames(e.header()))
		if evict := v.add(e.key()); evict != "" {
			p.memory.remove(evict)
		}
	}
	return p.memory.put(e)
}

// validated refreshes a stale entry that the origin has confirmed (RFC 9111
// section 4.3.4): the fields of the 304 replace the stored ones, and the
// response is as new as this flight.
func (f *flight) validated(a *answer) {
	connectionFields(a.header)
	merged := f.stale.header()
	update(merged, a.header)
	if _, said := merged[ownTarget]; !said && len(f.stale.targeted()) > 0 {
		merged[ownTarget] = f.stale.targeted()
	}
	stored := &answer{status: int(f.stale.status), header: merged, sent: a.sent, received: a.received}
	v := judge(&f.query, stored)
	f.entry.setApart(f.entry.groups(), merged[ownTarget], f.asked)
	passFields(merged)
	f.proxy.positions.dropForeign(merged)
	via := merged["Via"]
	delete(merged, "Age")
	finishHeader(merged, a.received)
	if len(via) > 0 {
		merged["Via"] = via // it was added when the response was stored
	}
	block := appendFields(appendStatus(nil, stored.status), merged)
	f.withhold(&v, stored, block)
	if f.own != nil {
		block = f.block
	}
	f.reusable = v.lifetime > 0 && f.own == nil
	f.describe(&v, stored, varyNames(merged))
	e := f.entry
	f.extend(merged)
	e.body = f.stale.body
	e.setHead(finishHead(block, int(e.status), len(e.body)))
	if f.route.late {
		f.learn(f.lateDeps(merged, e.body))
	}
	f.proxy.finish(e)
	reason := v.reason
	if v.store {
		if reason = f.keep(); reason == NoReason {
			f.freshenChosen()
		}
	} else {
		f.closeHandle()
		f.proxy.forget(f.stale)
	}
	f.complete(e, func(s *flightState) {
		s.fwdStatus, s.valid, s.kept, s.reason, s.shared = http.StatusNotModified, true, reason == NoReason, reason, v.store && f.shareable()
		s.head, s.body, s.length, s.names = block, e.body, int64(len(e.body)), varyNames(merged)
	})
	f.cancel(nil)
}

// rest is the part of a response that nobody keeps.
type rest struct {
	resp   *http.Response
	prefix []byte // what was read of it already
	cancel context.CancelCauseFunc
	once   sync.Once
	taken  bool
	mu     sync.Mutex
}

// take makes the rest the caller's. Only the first gets it.
func (r *rest) take() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.taken {
		return false
	}
	r.taken = true
	return true
}

// discard ends the request unless somebody has taken the rest.
func (r *rest) discard() {
	if r.take() {
		r.end()
	}
}

// end closes the response.
func (r *rest) end() {
	r.once.Do(func() {
		r.cancel(errors.New("response dropped"))
		discard(r.resp.Body)
	})
}
