package proxycache

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"walpurge/internal/coherence"
	"walpurge/internal/http1"
	"walpurge/internal/proxycache/depends"
	"walpurge/internal/proxycache/position"
	"walpurge/internal/proxycache/redistier"
	"walpurge/internal/proxycache/route"
	"walpurge/internal/proxycache/store"
	"walpurge/internal/rfc9111"
	"walpurge/internal/upstream"
)

// Order is what a fill is for. It is made from a request and holds nothing of
// its client: nobody changes it, and it may outlive the exchange.
type Order struct {
	req     *http1.Request // a copy of the request that caused it
	route   *route.Route
	key     string // what the flight is found by: primary, or the variant's key where that is known
	primary string // the key without variant
	base    string // of a QUERY: the key of its target
	target  string // as the origin gets it
	content []byte // of a QUERY

	question rfc9111.Question
	deps     []coherence.Dependency // those that are known before the response
	subject  *depends.Subject       // what late dependencies read of the request; nil if there are none

	stale  *store.Entry    // what is stored and may be validated, or stand in for an error; nil: nothing
	why    rfc9111.Forward // why what is stored was not enough
	bridge coherence.Nanos // how long past its lifetime the client takes what is stored in the place of an error

	plain      bool // the request takes whatever is fresh
	authorized bool // it has Authorization
	alone      bool // nobody joins: it is in no table
	background bool // nobody waits for it

	traced context.Context // of the request's span; nil: there is none
}

// fills is everything that brings responses into the store, or ends them
// there.
type fills struct {
	guard     *coherence.Guard // nil without PostgreSQL
	now       func() coherence.Nanos
	memory    *store.Memory
	redis     *redistier.Tier // nil: there is none
	upstream  *upstream.Origin
	positions *position.Positions
	tracer    trace.Tracer // used with orders that are traced
	log       *slog.Logger
	counts    *prometheus.CounterVec // what was fetched to be stored and wasn't, by reason
	named     func(*route.Route)     // told of each response that names dependencies of its own

	maxObject int64 // bytes
	timeout   time.Duration

	flights flights
	memo    *memo
	running sync.WaitGroup
}

// discarded counts a fill that wasn't kept.
func (t *fills) discarded(reason Reason) { t.counts.WithLabelValues(string(reason)).Inc() }

// start starts a fill, of which header goes to the origin. It is the fill's
// own from now on. Where another fill may be joined by now that is returned
// instead, with own false; where stored tells that a response has been stored
// since the caller looked, nil is.
func (t *fills) start(o *Order, header http.Header, not *Flight, d position.Demand, stored func() bool) (f *Flight, own bool) {
	mine := t.newFetch(o, header)
	if f = t.flights.start(&mine.Flight, not, d, stored); f != &mine.Flight {
		mine.cancel(nil)
		return f, false
	}
	mine.timer = time.AfterFunc(t.timeout, mine.timeUp)
	t.running.Add(1)
	mine.trace()
	go mine.run()
	return f, true
}

// newFetch makes a fill that hasn't started.
func (t *fills) newFetch(o *Order, header http.Header) *fetch {
	f := &fetch{
		Flight: Flight{order: *o, fills: t, entry: &store.Entry{Memory: t.memory, Route: o.route, Guarded: o.route.Guarded}},
		header: header, stale: o.stale,
	}
	f.mu.wake = make(chan struct{})
	f.mu.state.length = -1
	f.mu.left = o.background
	f.entry.SetKey(o.key)
	if o.stale != nil {
		if etag := o.stale.ETag(); etag != "" {
			header["If-None-Match"] = []string{etag}
		}
		if modified := o.stale.Modified(); modified != "" {
			header["If-Modified-Since"] = []string{modified}
		}
	} else if o.why == rfc9111.NotForwarded {
		f.beginAtPart()
		f.nameVariants()
	}
	f.ctx, f.cancel = context.WithCancelCause(context.Background())
	return f
}

// end waits for the fills, which survive their clients, and cancels them once
// ctx is done.
func (t *fills) end(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		t.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return
	case <-ctx.Done():
	}
	t.flights.mu.Lock()
	for _, f := range t.flights.byKey {
		f.cancel(context.Cause(ctx))
	}
	t.flights.mu.Unlock()
}
