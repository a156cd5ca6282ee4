// Package audit compares hits with what the origin says, in the background.
// It finds declarations that are incomplete.
package audit

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"walpurge/internal/coherence"
	"walpurge/internal/proxycache/route"
	"walpurge/internal/proxycache/store"
	"walpurge/internal/rfc9111"
	"walpurge/internal/upstream"
)

// finding is what an audit of a hit found.
type finding string

// The findings, as the metric labels them.
const (
	ok       finding = "ok"       // the origin says the same
	stale    finding = "stale"    // a change that no declared dependency covers
	changed  finding = "changed"  // it was purged meanwhile
	unstable finding = "unstable" // the origin doesn't say the same twice
	unproven finding = "unproven" // the log was not followed far enough in time
	failed   finding = "error"    // the origin gave no answer
	dropped  finding = "dropped"  // too many at one time
)

// Options is what an Auditor is made with.
type Options struct {
	Share     float64 // of the hits on routes with dependencies, 0 to 1
	Guard     *coherence.Guard
	Ask       func(context.Context) (coherence.Position, error) // the primary's position now
	Upstream  *upstream.Origin
	MaxObject int64 // bytes of the largest body that is compared
	Logger    *slog.Logger
	Registry  prometheus.Registerer // gets walpurge_audit_total
}

// Auditor compares a share of the hits with what the origin says. A nil one
// picks none.
type Auditor struct {
	opt    Options
	recent recent
	share  uint32 // of 2^32
	queue  chan *Sample
	count  map[finding]prometheus.Counter
}

// Sample is a hit to be audited.
type Sample struct {
	Entry  *store.Entry
	Route  *route.Route
	Target string      // path and query as the origin gets them
	Host   string      // as the client has sent it
	Header http.Header // as a fill would send it
}

// Bounds on what audits cost: at one time, and each.
const (
	queueLength = 64
	wait        = 10 * time.Second
)

// New makes an auditor, or nil if no hit is to be audited.
func New(o Options) *Auditor {
	if o.Share <= 0 || o.Guard == nil || o.Ask == nil {
		return nil
	}
	a := &Auditor{
		opt: o, share: uint32(min(o.Share, 1) * (1<<32 - 1)),
		queue: make(chan *Sample, queueLength), count: make(map[finding]prometheus.Counter),
	}
	results := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "walpurge_audit_total", Help: "Hits that were compared with the origin, by result.",
	}, []string{"result"})
	o.Registry.MustRegister(results)
	for _, f := range []finding{ok, stale, changed, unstable, unproven, failed, dropped} {
		a.count[f] = results.WithLabelValues(string(f))
	}
	return a
}

// Picks decides whether a hit is to be audited. It is asked at every hit of a
// response with dependencies; only then is a Sample made.
func (a *Auditor) Picks() bool { return a != nil && rand.Uint32() <= a.share }

// Take has a hit audited, unless too many wait for that. It never waits.
func (a *Auditor) Take(s *Sample) {
	select {
	case a.queue <- s:
	default:
		a.count[dropped].Inc()
	}
}

// Changed notes that a transaction whose commit ends at end has changed rows of
// a table by op (insert, update, delete or truncate). The last 256 of each
// table are kept. It may be called from any goroutine and never waits for a
// reader.
func (a *Auditor) Changed(table, op string, rows int, end coherence.LSN) {
	if a != nil {
		a.recent.add(table, recentChange{coherence.Position{Epoch: a.opt.Guard.Epoch(), LSN: end}, op, rows})
	}
}

// Run audits until ctx ends.
func (a *Auditor) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-a.queue:
			each, cancel := context.WithTimeout(ctx, wait)
			f := a.judge(each, s)
			cancel()
			if ctx.Err() != nil {
				return
			}
			a.count[f].Inc()
			if f == stale {
				a.report(s)
			}
		}
	}
}

// judge compares a stored response with the origin's. A difference counts as
// stale only if the response is still stored once everything is applied that
// was committed when the origin had answered, and the origin, asked again,
// says the same: then a change has been applied that should have purged it.
func (a *Auditor) judge(ctx context.Context, s *Sample) finding {
	first, err := a.fetch(ctx, s)
	if err != nil {
		return failed
	}
	if s.same(first) {
		return ok
	}
	at, err := a.opt.Ask(ctx)
	if err != nil {
		return unproven
	}
	applied, cancel := a.opt.Guard.WaitApplied(at.LSN)
	defer cancel()
	select {
	case <-applied:
	case <-ctx.Done():
		return unproven
	}
	if !s.Entry.Handle.Live() {
		return changed
	}
	second, err := a.fetch(ctx, s)
	switch {
	case err != nil:
		return failed
	case !first.equal(second):
		return unstable
	case !s.Entry.Handle.Live():
		return changed
	}
	return stale
}

// report tells which declaration is incomplete, and what has changed since
// the response was fetched: first of all in tables that the route doesn't
// declare. A change of a declared table says that its conditions or columns
// may be too narrow. A table that no route declares isn't followed.
func (a *Auditor) report(s *Sample) {
	var words, declared, undeclared []string
	tables := make(map[string]bool)
	for _, d := range s.Route.Depends {
		words = append(words, d.Words)
		tables[a.opt.Guard.Tables()[d.Template.Table].Name] = true
	}
	h := &s.Entry.Handle
	for _, sum := range a.recent.since(coherence.Position{Epoch: h.Epoch(), LSN: h.Asof()}) {
		if tables[sum.table] {
			declared = append(declared, sum.String())
		} else {
			undeclared = append(undeclared, sum.String())
		}
	}
	a.opt.Logger.Error("a hit was stale: the route's depends_on does not cover what the page shows",
		"url", s.Target, "route", s.Route.Label, "depends_on", words,
		"changed_undeclared", undeclared, "changed_declared", declared,
		"asof", h.Asof().String(), "applied", a.opt.Guard.Applied().String())
}

// told is what the origin said.
type told struct {
	status int
	body   []byte
}

func (t told) equal(o told) bool { return t.status == o.status && bytes.Equal(t.body, o.body) }

func (s *Sample) same(t told) bool { return t.equal(told{int(s.Entry.Status), s.Entry.Body}) }

var (
	errTooLarge = errors.New("the response is larger than what is kept")
	errFailing  = errors.New("the origin can't answer now")
)

func (a *Auditor) fetch(ctx context.Context, s *Sample) (told, error) {
	req := a.opt.Upstream.Request(ctx, http.MethodGet, s.Target, s.Host, s.Header.Clone())
	resp, err := a.opt.Upstream.Fill(req, nil, func() {})
	if err != nil {
		return told{}, err
	}
	defer upstream.Discard(resp.Body)
	if rfc9111.Passing(resp.StatusCode) {
		return told{}, errFailing
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, a.opt.MaxObject+1))
	if err == nil && int64(len(body)) > a.opt.MaxObject {
		err = errTooLarge
	}
	return told{resp.StatusCode, body}, err
}
