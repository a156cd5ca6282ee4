package fill

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
	"walpurge/internal/proxycache/outcome"
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
	Request *http1.Request // a copy of the request that caused it
	Route   *route.Route
	Key     string // what the flight is found by: primary, or the variant's key where that is known
	Primary string // the key without variant
	Base    string // of a QUERY: the key of its target
	Target  string // as the origin gets it
	Content []byte // of a QUERY

	Question rfc9111.Question
	Deps     []coherence.Dependency // those that are known before the response
	Subject  *depends.Subject       // what late dependencies read of the request; nil if there are none

	Stale  *store.Entry    // what is stored and may be validated, or stand in for an error; nil: nothing
	Why    rfc9111.Forward // why what is stored was not enough
	Bridge coherence.Nanos // how long past its lifetime the client takes what is stored in the place of an error

	Plain      bool // the request takes whatever is fresh
	Authorized bool // it has Authorization
	Alone      bool // nobody joins: it is in no table
	Background bool // nobody waits for it

	Traced context.Context // of the request's span; nil: there is none
}

// Options is what fills are made with.
type Options struct {
	Guard     *coherence.Guard // nil without PostgreSQL
	Now       func() coherence.Nanos
	Memory    *store.Memory
	Redis     *redistier.Tier // nil: there is none
	Upstream  *upstream.Origin
	Positions *position.Positions
	Tracer    trace.Tracer // used with orders that are traced
	Logger    *slog.Logger
	Discarded *prometheus.CounterVec // what was fetched to be stored and wasn't, by reason
	Named     func(*route.Route)     // told of each response that names dependencies of its own

	MaxObject int64         // bytes of the largest body that is kept
	Timeout   time.Duration // how long a fill is shared
}

// Fills is everything that brings responses into the store, or ends them
// there.
type Fills struct {
	guard     *coherence.Guard
	now       func() coherence.Nanos
	memory    *store.Memory
	redis     *redistier.Tier
	upstream  *upstream.Origin
	positions *position.Positions
	tracer    trace.Tracer
	log       *slog.Logger
	counts    *prometheus.CounterVec
	named     func(*route.Route)
	maxObject int64
	timeout   time.Duration

	Flights flights
	Memo    *memo
	running sync.WaitGroup
}

// New makes the fills of a proxy: none is on its way.
func New(o Options) *Fills {
	t := &Fills{
		guard: o.Guard, now: o.Now, memory: o.Memory, redis: o.Redis, upstream: o.Upstream, positions: o.Positions, tracer: o.Tracer,
		log: o.Logger, counts: o.Discarded, named: o.Named, maxObject: o.MaxObject, timeout: o.Timeout, Memo: newMemo(),
	}
	t.Flights.byKey = make(map[string]*Flight)
	return t
}

// discarded counts a fill that wasn't kept.
func (t *Fills) discarded(reason outcome.Reason) { t.counts.WithLabelValues(string(reason)).Inc() }

// Start starts a fill, of which header goes to the origin. It is the fill's
// own from now on. Where another fill may be joined by now that is returned
// instead, with own false; where stored tells that a response has been stored
// since the caller looked, nil is.
func (t *Fills) Start(o *Order, header http.Header, not *Flight, d position.Demand, stored func() bool) (f *Flight, own bool) {
	mine := t.newFetch(o, header)
	if f = t.Flights.start(&mine.Flight, not, d, stored); f != &mine.Flight {
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
func (t *Fills) newFetch(o *Order, header http.Header) *fetch {
	f := &fetch{
		Flight: Flight{Order: *o, fills: t, Entry: &store.Entry{Memory: t.memory, Route: o.Route, Guarded: o.Route.Guarded}},
		header: header, stale: o.Stale,
	}
	f.mu.wake = make(chan struct{})
	f.mu.state.Length = -1
	f.mu.left = o.Background
	f.Entry.SetKey(o.Key)
	if o.Stale != nil {
		if etag := o.Stale.ETag(); etag != "" {
			header["If-None-Match"] = []string{etag}
		}
		if modified := o.Stale.Modified(); modified != "" {
			header["If-Modified-Since"] = []string{modified}
		}
	} else if o.Why == rfc9111.NotForwarded {
		f.beginAtPart()
		f.nameVariants()
	}
	f.ctx, f.cancel = context.WithCancelCause(context.Background())
	return f
}

// End waits for the fills, which survive their clients, and cancels them once
// ctx is done.
func (t *Fills) End(ctx context.Context) {
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
	t.Flights.mu.Lock()
	for _, f := range t.Flights.byKey {
		f.cancel(context.Cause(ctx))
	}
	t.Flights.mu.Unlock()
}
