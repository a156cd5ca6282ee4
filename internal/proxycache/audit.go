package proxycache

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"walpurge/internal/coherence"
	"walpurge/internal/http1"
	"walpurge/internal/proxycache/route"
	"walpurge/internal/proxycache/store"
	"walpurge/internal/rfc9111"
	"walpurge/internal/upstream"
)

// finding is what an audit of a hit found.
type finding string

// The findings, as the metric labels them.
const (
	auditOK       finding = "ok"       // the origin says the same
	auditStale    finding = "stale"    // a change that no declared dependency covers
	auditChanged  finding = "changed"  // it was purged meanwhile
	auditUnstable finding = "unstable" // the origin doesn't say the same twice
	auditUnproven finding = "unproven" // the log was not followed far enough in time
	auditError    finding = "error"    // the origin gave no answer
	auditDropped  finding = "dropped"  // too many at one time
)

// auditor compares a share of the hits with what the origin says, in the
// background. It finds declarations that are incomplete.
type auditor struct {
	p      *Proxy
	recent recent
	share  uint32 // of 2^32
	queue  chan *sample
	count  map[finding]prometheus.Counter
}

// sample is a hit to be audited.
type sample struct {
	entry  *store.Entry
	route  *route.Route
	target string
	host   string
	header http.Header
}

// Bounds on what audits cost: at one time, and each.
const (
	auditQueue = 64
	auditWait  = 10 * time.Second
)

// newAuditor makes an auditor, or none if no hit is to be audited.
func newAuditor(p *Proxy) *auditor {
	if p.opt.Audit <= 0 || p.opt.Guard == nil || p.opt.Positions.Ask == nil {
		return nil
	}
	a := &auditor{
		p: p, share: uint32(min(p.opt.Audit, 1) * (1<<32 - 1)),
		queue: make(chan *sample, auditQueue), count: make(map[finding]prometheus.Counter),
	}
	results := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "walpurge_audit_total", Help: "Hits that were compared with the origin, by result.",
	}, []string{"result"})
	p.metrics.registry.MustRegister(results)
	for _, f := range []finding{auditOK, auditStale, auditChanged, auditUnstable, auditUnproven, auditError, auditDropped} {
		a.count[f] = results.WithLabelValues(string(f))
	}
	return a
}

// hit looks whether this one is to be audited. It is called on every hit of a
// response with dependencies.
func (a *auditor) hit(ex *http1.Exchange, e *store.Entry, rt *route.Route, now coherence.Nanos) {
	if rand.Uint32() > a.share {
		return
	}
	https, host := a.p.opt.Clients.Trusted.Outside(ex)
	x := a.p.newExchange(ex, now, https, host)
	s := &sample{entry: e, route: rt, target: x.target, host: string(ex.Host), header: a.p.requestHeader(ex, fillDrops)}
	if ex.Has(http1.Of(http1.AcceptEncoding)) {
		s.header["Accept-Encoding"] = []string{rfc9111.AcceptEncoding(ex.Request).String()}
	}
	rt.KeepKeyedCookies(s.header)
	rt.DropOverrides(s.header)
	select {
	case a.queue <- s:
	default:
		a.count[auditDropped].Inc()
	}
}

// run audits until ctx ends.
func (a *auditor) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-a.queue:
			each, cancel := context.WithTimeout(ctx, auditWait)
			f := a.judge(each, s)
			cancel()
			if ctx.Err() != nil {
				return
			}
			a.count[f].Inc()
			if f == auditStale {
				a.report(s)
			}
		}
	}
}

// judge compares a stored response with the origin's. A difference counts as
// stale only if the response is still stored once everything is applied that
// was committed when the origin had answered, and the origin, asked again,
// says the same: then a change has been applied that should have purged it.
func (a *auditor) judge(ctx context.Context, s *sample) finding {
	first, err := a.fetch(ctx, s)
	if err != nil {
		return auditError
	}
	if s.same(first) {
		return auditOK
	}
	at, err := a.p.opt.Positions.Ask(ctx)
	if err != nil {
		return auditUnproven
	}
	applied, cancel := a.p.opt.Guard.WaitApplied(at.LSN)
	defer cancel()
	select {
	case <-applied:
	case <-ctx.Done():
		return auditUnproven
	}
	if !s.entry.Handle.Live() {
		return auditChanged
	}
	second, err := a.fetch(ctx, s)
	switch {
	case err != nil:
		return auditError
	case !first.equal(second):
		return auditUnstable
	case !s.entry.Handle.Live():
		return auditChanged
	}
	return auditStale
}

// report tells which declaration is incomplete, and what has changed since
// the response was fetched: first of all in tables that the route doesn't
// declare. A change of a declared table says that its conditions or columns
// may be too narrow. A table that no route declares isn't followed.
func (a *auditor) report(s *sample) {
	var words, declared, undeclared []string
	tables := make(map[string]bool)
	for _, d := range s.route.Depends {
		words = append(words, d.Words)
		tables[a.p.opt.Guard.Tables()[d.Template.Table].Name] = true
	}
	h := &s.entry.Handle
	for _, sum := range a.recent.since(coherence.Position{Epoch: h.Epoch(), LSN: h.Asof()}) {
		if tables[sum.table] {
			declared = append(declared, sum.String())
		} else {
			undeclared = append(undeclared, sum.String())
		}
	}
	a.p.log.Error("a hit was stale: the route's depends_on does not cover what the page shows",
		"url", s.target, "route", s.route.Label, "depends_on", words,
		"changed_undeclared", undeclared, "changed_declared", declared,
		"asof", h.Asof().String(), "applied", a.p.opt.Guard.Applied().String())
}

// told is what the origin said.
type told struct {
	status int
	body   []byte
}

func (t told) equal(o told) bool { return t.status == o.status && bytes.Equal(t.body, o.body) }

func (s *sample) same(t told) bool { return t.equal(told{int(s.entry.Status), s.entry.Body}) }

var (
	errAuditTooLarge = errors.New("the response is larger than what is kept")
	errAuditFailing  = errors.New("the origin can't answer now")
)

func (a *auditor) fetch(ctx context.Context, s *sample) (told, error) {
	req := a.p.upstream.Request(ctx, http.MethodGet, s.target, s.host, s.header.Clone())
	resp, err := a.p.upstream.Fill(req, nil, func() {})
	if err != nil {
		return told{}, err
	}
	defer upstream.Discard(resp.Body)
	if rfc9111.Passing(resp.StatusCode) {
		return told{}, errAuditFailing
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, a.p.opt.MaxObject+1))
	if err == nil && int64(len(body)) > a.p.opt.MaxObject {
		err = errAuditTooLarge
	}
	return told{resp.StatusCode, body}, err
}
