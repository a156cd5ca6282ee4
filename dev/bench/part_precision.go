package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"walpurge/dev/testbed"
	"walpurge/internal/coherence"
	"walpurge/internal/origin"
)

// precisionSettings say how many changes are looked at, and of how many listings.
type precisionSettings struct {
	seed     uint64
	changes  int
	listings int
	ways     []declaration
}

// measurePrecision makes random changes of the listings service's rows, one at a time, and compares which pages were purged with which
// have changed, for each way to declare what they depend on. All ways see the same changes.
func measurePrecision(ctx context.Context, st *stage) (*result, error) {
	settings := precisionSettings{seed: 1, changes: 500, listings: 5000, ways: declarations}
	if st.short {
		settings.changes, settings.listings = 30, 2000
	}
	r, _, err := comparePrecision(ctx, st, settings)
	return r, err
}

func comparePrecision(ctx context.Context, st *stage, settings precisionSettings) (r *result, p *precision, err error) {
	// Nobody is timed here, so that this process, with the service in it, and the database may use all cores.
	if err := pin(ctx, os.Getpid(), fmt.Sprintf("%d,%d", st.server, st.client)); err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, pin(context.WithoutCancel(ctx), os.Getpid(), fmt.Sprint(st.client))) }()
	p, err = newPrecision(ctx, st, settings)
	defer func() { err = errors.Join(err, p.end()) }()
	if err != nil {
		return nil, nil, err
	}
	if err := p.compare(ctx); err != nil {
		return nil, nil, err
	}
	r, err = p.result()
	return r, p, err
}

// precision is the comparison.
type precision struct {
	precisionSettings
	st       *stage
	postgres *testbed.Postgres
	conn     *pgx.Conn
	store    *origin.Store
	truth    *service
	ways     []*declared
	client   *http.Client
	changer  *changer
	pages    []string
	now      []shownPage // by page, as the service has it
	listed   [][]int64   // by page, the listings in it
	faults   []string    // of the pages that were missed, the first ones
}

// newPrecision starts what is compared. It must be ended, also after an error.
func newPrecision(ctx context.Context, st *stage, settings precisionSettings) (p *precision, err error) {
	p = &precision{precisionSettings: settings, st: st, pages: precisionPages(), client: &http.Client{Transport: &http.Transport{
		DisableCompression: true, MaxIdleConnsPerHost: askers,
	}}}
	if p.postgres, err = testbed.StartPostgres(ctx, filepath.Join(st.dir, "precision"), map[string]string{
		"autovacuum": "off", // so that nothing commits but the changes
	}); err != nil {
		return p, err
	}
	url, err := p.postgres.CreateDatabase(ctx, "listings")
	if err != nil {
		return p, err
	}
	if p.conn, err = pgx.Connect(ctx, url); err != nil {
		return p, err
	}
	if _, _, err := origin.Migrate(ctx, p.conn); err != nil {
		return p, err
	}
	if _, err := origin.Seed(ctx, p.conn, origin.SeedOptions{Listings: settings.listings}); err != nil {
		return p, err
	}
	if p.changer, err = newChanger(ctx, p.conn, settings.seed); err != nil {
		return p, err
	}
	if p.store, err = origin.Open(ctx, url); err != nil {
		return p, err
	}
	handler, err := origin.Handler(p.store, slog.New(slog.DiscardHandler))
	if err != nil {
		return p, err
	}
	if p.truth, err = serve(handler); err != nil {
		return p, err
	}
	for i, way := range settings.ways {
		d := &declared{declaration: way, cached: make([]bool, len(p.pages))}
		p.ways = append(p.ways, d)
		if d.service, err = serve(handler); err != nil {
			return p, err
		}
		if d.site, err = newSite(filepath.Join(st.dir, fmt.Sprintf("precision-%d", i)), d.service.address, url); err != nil {
			return p, err
		}
		d.Redis, d.Namespace = st.redis.URL(), fmt.Sprintf("precision_%d", i)
		if err := d.start(ctx, st.all[guarded].program, st.server); err != nil {
			return p, fmt.Errorf("%s: %w", d.name, err)
		}
	}
	return p, p.begin(ctx)
}

// end stops everything, the last started first.
func (p *precision) end() (err error) {
	for i := len(p.ways) - 1; i >= 0; i-- {
		d := p.ways[i]
		err = errors.Join(err, d.end(), os.RemoveAll(d.Dir))
	}
	p.client.CloseIdleConnections()
	if p.truth != nil {
		err = errors.Join(err, p.truth.close())
	}
	if p.store != nil {
		p.store.Close()
	}
	if p.conn != nil {
		err = errors.Join(err, p.conn.Close(context.Background()))
	}
	if p.postgres != nil {
		err = errors.Join(err, p.postgres.Close())
	}
	return err
}

// begin has every proxy keep every page that it keeps at all. Pages that change with nothing are an error: they would make everything needed.
func (p *precision) begin(ctx context.Context) (err error) {
	if p.now, err = p.ask(ctx, p.truth.address); err != nil {
		return err
	}
	at, err := p.flushed(ctx)
	if err != nil {
		return err
	}
	p.listed = make([][]int64, len(p.pages))
	for i := range p.pages {
		p.listed[i] = listingsIn(p.pages[i], p.now[i].body)
	}
	for _, d := range p.ways {
		if err := p.settled(ctx, d, at); err != nil {
			return err
		}
		for i := range p.pages {
			if d.cached[i], err = p.keep(ctx, d, i); err != nil {
				return fmt.Errorf("%s: %w", d.name, err)
			}
		}
	}
	again, err := p.ask(ctx, p.truth.address)
	if err != nil {
		return err
	}
	for i, page := range p.pages {
		if !again[i].same(p.now[i]) {
			return fmt.Errorf("%s has changed, and no row has", page)
		}
	}
	return nil
}

// keep asks for a page until the proxy answers without the service. No page of a declared route may do without that.
func (p *precision) keep(ctx context.Context, d *declared, i int) (kept bool, err error) {
	err = eventually(ctx, p.pages[i]+" is kept", func() (bool, error) {
		d.service.wasAsked(p.pages[i])
		_, status, err := p.get(ctx, d.Listen, p.pages[i])
		kept = err == nil && !d.service.wasAsked(p.pages[i])
		return kept || strings.Contains(status, "detail=no-lifetime"), err // the latter: no route is declared for it
	})
	return kept, err
}

// compare makes the changes.
func (p *precision) compare(ctx context.Context) error {
	for n := range p.changes {
		var shown []int64
		for _, ids := range p.listed {
			shown = append(shown, ids...)
		}
		change := p.changer.next(shown)
		if err := p.changer.did(ctx, p.conn, change); err != nil {
			return err
		}
		if err := p.look(ctx, change); err != nil {
			return fmt.Errorf("change %d, %s: %w", n+1, change.what, err)
		}
		if (n+1)%100 == 0 || n+1 == p.changes {
			p.st.say("%d of %d changes: %s", n+1, p.changes, p.soFar())
		}
	}
	return nil
}

func (p *precision) soFar() string {
	words := make([]string, len(p.ways))
	for i, d := range p.ways {
		words[i] = fmt.Sprintf("%s %d purged, %d missed", d.name, d.purges.purged, d.purges.missed)
	}
	return strings.Join(words, "; ")
}

// look waits until a change has settled everywhere and counts what has become of each page.
func (p *precision) look(ctx context.Context, change rowChange) error {
	at, err := p.flushed(ctx)
	if err != nil {
		return err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	for _, d := range p.ways {
		group.Go(func() error { return p.settled(groupCtx, d, at) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	now, err := p.ask(ctx, p.truth.address)
	if err != nil {
		return err
	}
	changed := make([]bool, len(p.pages))
	for i := range p.pages {
		if changed[i] = !now[i].same(p.now[i]); changed[i] {
			p.listed[i] = listingsIn(p.pages[i], now[i].body)
		}
	}
	p.now = now
	for _, d := range p.ways {
		if err := p.count(ctx, d, change, changed); err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
	}
	return nil
}

// count asks a proxy for all pages. One was purged if the service was asked for it: by this request, or by the proxy before it.
func (p *precision) count(ctx context.Context, d *declared, change rowChange, changed []bool) error {
	got, err := p.ask(ctx, d.Listen)
	if err != nil {
		return err
	}
	for i, page := range p.pages {
		if !d.cached[i] {
			continue
		}
		purged := d.service.wasAsked(page)
		if changed[i] {
			d.purges.changed++
		}
		if purged {
			d.purges.purged++
		}
		if purged && !changed[i] {
			d.purges.needless++
		}
		if !got[i].same(p.now[i]) {
			d.purges.missed++
			p.faults = append(p.faults, fmt.Sprintf("%s: %s is served as it was before a change (%s, %v)", d.name, page, change.what, change.args))
		}
		if purged {
			if _, err := p.keep(ctx, d, i); err != nil {
				return err
			}
		}
	}
	return nil
}

// flushed is a position at or behind the end of what was committed before.
func (p *precision) flushed(ctx context.Context) (coherence.LSN, error) {
	var text string
	if err := p.conn.QueryRow(ctx, "SELECT pg_current_wal_flush_lsn()::text").Scan(&text); err != nil {
		return 0, err
	}
	return coherence.ParseLSN(text)
}

// settled waits until a proxy has settled everything up to a position.
func (p *precision) settled(ctx context.Context, d *declared, at coherence.LSN) error {
	return eventually(ctx, "the change has settled", func() (bool, error) {
		watermark, err := askWatermark(ctx, d.Admin)
		return watermark >= at, err
	})
}
