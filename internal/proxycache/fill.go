package proxycache

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"walpurge/internal/rfc9111"
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
	case a.Status == http.StatusNotModified && f.stale != nil && f.stale.validatable():
		discard(resp.Body)
		f.validated(a)
	default:
		if f.part != nil && a.Status == http.StatusPartialContent {
			f.part.complete(resp, a)
		}
		f.receive(resp, a)
	}
}

// ask sends the flight's request. A request that gets no response ends the
// flight.
func (f *flight) ask() (*http.Response, *rfc9111.Answer) {
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
	a := &rfc9111.Answer{Status: resp.StatusCode, Header: resp.Header, Sent: sent, Received: time.Now()}
	f.entry.received = p.opt.Now()
	return resp, a
}

// unfit tells whether a is an answer about something else than what is stored.
// What is stored is given up then, and the request is made one for the whole.
func (f *flight) unfit(a *rfc9111.Answer) bool {
	switch {
	case a.Status == http.StatusNotModified && f.stale != nil && !rfc9111.Confirms(a.Header, f.stale.etag(), f.stale.modified()):
		f.proxy.forget(f.stale)
		f.stale = nil
	case a.Status == http.StatusNotModified && f.stale == nil && len(f.named) > 0:
		f.named = nil // it can't be told which one this is about
	case f.part != nil && (a.Status == http.StatusPartialContent && !f.part.continued(a.Header) || a.Status == http.StatusRequestedRangeNotSatisfiable):
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
	if context.Cause(f.ctx) != errClientGone {
		f.proxy.log.Warn("origin request failed", "method", "GET", "route", f.proxy.label(f.route), "reason", string(reason), "error", err)
	}
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
