package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

const (
	readers  = 8
	writers  = 4
	auditors = 32

	// firstBulk and bulkEvery say when some hundred rows change at once.
	firstBulk = 2 * time.Second
	bulkEvery = 10 * time.Second

	// keptReasons is how many stale pages and failed requests are reported in full.
	keptReasons = 5
)

// load is everything that reads, changes and checks while the demo runs.
type load struct {
	settings  Settings
	endpoints endpoints
	catalogue *catalogue
	client    *client
	ledger    *ledger
	auditor   *auditor
	committed chan page

	requests, hits, failures  atomic.Int64 // of the readers
	first, purged, waited     atomic.Int64 // of their requests: misses on a first visit, misses after a purge, those of the latter that waited for the origin
	changes                   atomic.Int64 // rows, by the writers
	audited, stale, undecided atomic.Int64

	reasons struct {
		sync.Mutex
		stale, failed []string
	}
}

func newLoad(s Settings, e endpoints, c *catalogue) *load {
	l := &load{
		settings: s, endpoints: e, catalogue: c,
		client: newClient(readers + writers + auditors), ledger: newLedger(),
		committed: make(chan page, auditors),
	}
	l.auditor = &auditor{client: l.client, site: e.site(), origin: e.Origin, ledger: l.ledger, lag: maxLag}
	return l
}

// run works until ctx ends, which is no error.
func (l *load) run(ctx context.Context) error {
	return l.runWith(ctx, func(_ int, a *audience) { l.read(ctx, a) })
}

// runWith is run with readers of another kind.
func (l *load) runWith(ctx context.Context, read func(i int, a *audience)) error {
	group, ctx := errgroup.WithContext(ctx)
	for i := range readers {
		group.Go(func() error { read(i, newAudience(l.catalogue, uint64(i))); return nil })
	}
	for i := range auditors {
		group.Go(func() error { l.auditAlong(ctx, newAudience(l.catalogue, uint64(100+i))); return nil })
	}
	for i := range writers {
		perSecond := float64(l.settings.Changes) / writers
		group.Go(func() error {
			return l.write(ctx, uint64(200+i), func(w *writer) error {
				for due := newPace(perSecond, w.random); due.wait(ctx); {
					if err := l.count(w.change(ctx)); err != nil {
						return err
					}
				}
				return nil
			})
		})
	}
	group.Go(func() error {
		return l.write(ctx, 300, func(w *writer) error {
			for wait := firstBulk; sleep(ctx, wait); wait = bulkEvery {
				if err := l.count(w.bulk(ctx)); err != nil {
					return err
				}
			}
			return nil
		})
	})
	return group.Wait()
}

func (l *load) count(changed int, err error) error {
	l.changes.Add(int64(changed))
	return err
}

// read is one reader.
func (l *load) read(ctx context.Context, a *audience) {
	due := newPace(float64(l.settings.Rate)/readers, rand.New(rand.NewPCG(a.random.Uint64(), 1)))
	for due.wait(ctx) {
		_, _ = l.ask(ctx, a)
	}
}

// ask is one request of a reader. It tells whether that went well.
func (l *load) ask(ctx context.Context, a *audience) (got answer, ok bool) {
	got, err := l.client.get(ctx, l.endpoints.site()+a.page().target, io.Discard)
	switch {
	case ctx.Err() != nil: // it was cut off by the end
		return got, false
	case err != nil:
		l.failures.Add(1)
		l.keep(&l.reasons.failed, "failed: "+err.Error())
	case got.status >= 400 && got.status != 404:
		l.failures.Add(1)
		l.keep(&l.reasons.failed, fmt.Sprintf("failed: an answer with status %d", got.status))
	default:
		ok = true
	}
	l.requests.Add(1)
	switch got.cause {
	case fromCache:
		l.hits.Add(1)
	case firstVisit:
		l.first.Add(1)
	case afterPurge:
		l.purged.Add(1)
		if got.waited {
			l.waited.Add(1)
		}
	}
	return got, ok
}

// write gives a writer a connection of its own.
func (l *load) write(ctx context.Context, seed uint64, work func(*writer) error) error {
	conn, err := pgx.Connect(ctx, l.endpoints.Postgres)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("connect a writer to the database: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	return work(&writer{
		audience: newAudience(l.catalogue, seed), conn: conn, client: l.client, origin: l.endpoints.Origin,
		ledger: l.ledger, committed: l.committed,
	})
}

// auditAlong is one auditor while readers and writers work. It prefers pages that have just changed.
func (l *load) auditAlong(ctx context.Context, a *audience) {
	for ctx.Err() == nil {
		var p page
		select {
		case p = <-l.committed:
		default:
			p = a.page()
		}
		l.record(ctx, p)
	}
}

// record audits a page and counts the verdict.
func (l *load) record(ctx context.Context, p page) {
	v, reason, err := l.auditor.audit(ctx, p)
	switch {
	case ctx.Err() != nil && v == notHit:
		return
	case err != nil:
		l.failures.Add(1)
		l.keep(&l.reasons.failed, "failed: audit "+p.target+": "+err.Error())
		_ = sleep(ctx, time.Second) // whatever it is, it needn't be reported at full speed
	case v == unclear:
		l.undecided.Add(1)
	case v == stale:
		l.stale.Add(1)
		l.keep(&l.reasons.stale, reason)
		l.audited.Add(1)
	case v == fresh:
		l.audited.Add(1)
	}
}

// auditRest looks at many pages when nobody writes any more, so that every difference is proof.
func (l *load) auditRest(ctx context.Context) {
	a := newAudience(l.catalogue, 400)
	pages := a.watched()
	for range 300 {
		pages = append(pages, a.page())
	}
	var group errgroup.Group // all at the same time: most of it is waiting, and the client bounds its connections
	for _, p := range pages {
		group.Go(func() error { l.record(ctx, p); return nil })
	}
	_ = group.Wait() // record returns nothing
}

func (l *load) keep(list *[]string, reason string) {
	l.reasons.Lock()
	defer l.reasons.Unlock()
	if len(*list) < keptReasons {
		*list = append(*list, reason)
	}
}

// verdict is what is wrong with the run so far, nil if nothing is.
func (l *load) verdict() error {
	l.reasons.Lock()
	defer l.reasons.Unlock()
	var errs []error
	if n := l.failures.Load(); n > 0 {
		errs = append(errs, fmt.Errorf("%d requests failed", n))
		for _, reason := range l.reasons.failed {
			errs = append(errs, errors.New(reason))
		}
	}
	if n := l.stale.Load(); n > 0 {
		errs = append(errs, fmt.Errorf("%d of %d audited hits were stale", n, l.audited.Load()))
		for _, reason := range l.reasons.stale {
			errs = append(errs, errors.New(reason))
		}
	}
	return errors.Join(errs...)
}

// sleep waits and returns false if ctx ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
