package fill

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/trace"

	"walpurge/internal/coherence"
	"walpurge/internal/http1"
	"walpurge/internal/proxycache/store"
	"walpurge/internal/rfc9111"
	"walpurge/internal/upstream"
)

// fetch is what a fill does, in a goroutine of its own: nobody else touches
// what is not its Flight.
type fetch struct {
	Flight
	ctx    context.Context
	header http.Header     // what goes to the origin
	asked  coherence.Nanos // when that was sent

	stale  *store.Entry   // to be validated
	named  []*store.Entry // other variants, whose tags the request names
	chosen *store.Entry   // the one of them that was validated
	part   *store.Entry   // to be completed

	own   []byte // the head for the leader, if it has fields that aren't stored
	block []byte // then, the head to be stored
	alias string // the key that takes primary's place in the memory tier, if not empty

	undeclared bool // the response doesn't say what it depends on
	overtaken  bool // what it says it depends on has changed since the request was sent
	reusable   bool // the response is fresh on arrival: who joins may have it (RFC 9111 section 5.2.2.4)

	span trace.Span // nil: none
}

// run is the fill's goroutine.
func (f *fetch) run() {
	t := f.fills
	defer t.running.Done()
	defer f.endTrace()
	defer func() {
		f.timer.Stop()
		t.Flights.remove(&f.Flight)
	}()
	resp, a := f.ask()
	if resp != nil {
		f.choose(a)
	}
	if resp != nil && f.unfit(a) {
		upstream.Discard(resp.Body)
		resp, a = f.ask()
	}
	switch {
	case resp == nil:
	case a.Status == http.StatusNotModified && f.stale != nil && f.stale.Validatable():
		upstream.Discard(resp.Body)
		f.validated(a)
	default:
		if f.part != nil && a.Status == http.StatusPartialContent {
			complete(f.part, resp, a)
		}
		f.receive(resp, a)
	}
}

// ask sends the fill's request. One that gets no response ends the fill.
func (f *fetch) ask() (*http.Response, *rfc9111.Answer) {
	t := f.fills
	f.needsOfFill()
	req := t.upstream.Request(f.ctx, f.method(), f.Order.Target, string(f.Order.Request.Host), f.header)
	if f.Order.Content != nil {
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(f.Order.Content)), int64(len(f.Order.Content))
	}
	sent := time.Now()
	f.asked = t.now()
	f.Queued.Store(true)
	resp, err := t.upstream.Fill(req, f.interim, func() {
		f.Queued.Store(false)
		sent = time.Now()
	})
	if err != nil {
		f.fail(err)
		return nil, nil
	}
	a := &rfc9111.Answer{Status: resp.StatusCode, Header: resp.Header, Sent: sent, Received: time.Now()}
	f.Entry.Received = t.now()
	return resp, a
}

// unfit tells whether a is an answer about something else than what is stored.
// What is stored is given up then, and the request is made one for the whole.
func (f *fetch) unfit(a *rfc9111.Answer) bool {
	switch {
	case a.Status == http.StatusNotModified && f.stale != nil && !rfc9111.Confirms(a.Header, f.stale.ETag(), f.stale.Modified()):
		f.fills.forget(f.stale)
		f.stale = nil
	case a.Status == http.StatusNotModified && f.stale == nil && len(f.named) > 0:
		f.named = nil // it can't be told which one this is about
	case f.part != nil && (a.Status == http.StatusPartialContent && !f.part.Continued(a.Header) || a.Status == http.StatusRequestedRangeNotSatisfiable):
		f.fills.forget(f.part)
		f.part = nil
	default:
		return false
	}
	for _, name := range []string{"If-None-Match", "If-Modified-Since", "If-Range", "Range"} {
		delete(f.header, name)
	}
	return true
}

// MaxInterims bounds the interim responses before one that may be kept: they
// are held until the leader has them.
const MaxInterims = 64

var errInterims = errors.New("the origin sends one interim response after the other")

// interim passes an interim response on to the leader (RFC 9110 section 15.2).
// It is no part of what is stored.
func (f *fetch) interim(status int, h http.Header) error {
	upstream.ConnectionFields(h)
	head := http1.AppendFields(http1.AppendStatus(nil, status), h)
	full := false
	f.update(func(s *State) {
		if full = len(s.Interim) == MaxInterims; !full {
			s.Interim = append(s.Interim[:len(s.Interim):len(s.Interim)], head)
		}
	})
	if full {
		return errInterims
	}
	return nil
}

// fail ends a fill whose request got no response.
func (f *fetch) fail(err error) {
	status, reason := upstream.Fault(f.ctx, err)
	if context.Cause(f.ctx) != ErrClientGone {
		f.fills.log.Warn("origin request failed", "method", "GET", "route", f.Order.Route.Label, "reason", string(reason), "error", err)
	}
	f.closeHandle()
	f.conclude(Failed, func(s *State) { s.Status, s.Reason, s.stale = status, reason, f.stale })
	f.cancel(nil)
}

// conclude ends the flight.
func (f *fetch) conclude(with stage, change func(*State)) {
	f.fills.Flights.remove(&f.Flight)
	f.update(func(s *State) {
		s.Stage = with
		change(s)
	})
}

func (f *fetch) closeHandle() {
	if f.guarded() {
		f.fills.guard.Close(&f.Entry.Handle)
	}
}

var ErrClientGone = errors.New("client gone")
