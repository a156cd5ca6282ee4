package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"walpurge/internal/coherence"
)

// staleSettings say how staleness is looked for.
type staleSettings struct {
	keys       int     // rows that are read and written
	reads      float64 // a second, of each contestant
	writes     float64 // a second
	before     time.Duration
	span       time.Duration // that is counted
	strategies []strategy
}

// strategy is one way to keep a cache from being stale.
type strategy struct {
	name  string // of the contestant
	label string // behind it
	ttl   string
	purge bool // by a trigger
}

// strategies are all that are compared. nginx counts in whole seconds: there is no 0.1 s.
var strategies = []strategy{
	{name: nginx, label: "TTL 1 s", ttl: "1s"},
	{name: nginx, label: "TTL 10 s", ttl: "10s"},
	{name: nginx, label: "TTL 60 s", ttl: "60s"},
	{name: varnish, label: "TTL 0.1 s", ttl: "0.1s"},
	{name: varnish, label: "TTL 1 s", ttl: "1s"},
	{name: varnish, label: "TTL 10 s", ttl: "10s"},
	{name: varnish, label: "TTL 60 s", ttl: "60s"},
	{name: varnish, label: "purged by a trigger", purge: true},
	{name: guarded},
}

// witness is one strategy's part in the comparison.
type witness struct {
	strategy
	server *server
	origin *rowOrigin
	load   *generator

	// Of the goroutine that reads.
	reads, stale   int64
	settled        int64 // stale although the change had been settled
	ages           latencies
	atStart, atEnd int64 // the origin's count
}

func (w *witness) String() string {
	if w.label == "" {
		return w.name
	}
	return w.name + ", " + w.label
}

// share of the responses that were stale, and of the reads that reached the origin.
func (w *witness) shareStale() float64  { return float64(w.stale) / float64(w.reads) }
func (w *witness) shareOrigin() float64 { return float64(w.atEnd-w.atStart) / float64(w.reads) }

// measureStaleness shows the same reads and writes to all strategies at the same time, and counts what is stale.
func measureStaleness(ctx context.Context, st *stage) (*result, error) {
	settings := staleSettings{keys: 1000, reads: 1000, writes: 100, before: 60 * time.Second, span: 60 * time.Second, strategies: strategies}
	if st.short {
		settings.reads, settings.before, settings.span = 300, 2*time.Second, 4*time.Second
	}
	ws, commits, err := st.watchStaleness(ctx, settings)
	if err != nil {
		return nil, err
	}
	return staleResult(ws, commits, settings), nil
}

// watchStaleness starts everybody, lets them run and stops them.
func (st *stage) watchStaleness(ctx context.Context, settings staleSettings) (ws []*witness, commits int64, err error) {
	config, err := pgxpool.ParseConfig(st.database)
	if err != nil {
		return nil, 0, err
	}
	config.MaxConns = 24
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, 0, err
	}
	defer pool.Close()
	if _, err := st.db.Exec(ctx, "UPDATE pages SET version = 1 WHERE version <> 1"); err != nil {
		return nil, 0, err
	}
	for _, statement := range announce {
		if _, err := st.db.Exec(ctx, statement); err != nil {
			return nil, 0, fmt.Errorf("%s: %w", statement, err)
		}
	}
	defer func() {
		for _, statement := range announceNoMore {
			_, failed := st.db.Exec(context.WithoutCancel(ctx), statement)
			err = errors.Join(err, failed)
		}
	}()
	defer func() {
		for _, w := range ws {
			err = errors.Join(err, w.end())
		}
	}()
	for _, s := range settings.strategies {
		w := &witness{strategy: s}
		ws = append(ws, w)
		if err := st.admit(ctx, w, pool); err != nil {
			return ws, 0, fmt.Errorf("%s: %w", w, err)
		}
	}
	commits, err = st.observe(ctx, ws, pool, settings)
	return ws, commits, err
}

// admit starts a strategy's server with an origin of its own.
func (st *stage) admit(ctx context.Context, w *witness, pool *pgxpool.Pool) (err error) {
	if w.origin, err = newRowOrigin(pool); err != nil {
		return err
	}
	w.server, err = st.launch(w.name, func(s *site) { s.Origin, s.TTL, s.Namespace = w.origin.address, w.ttl, "staleness" })
	if err != nil {
		return err
	}
	err = w.server.await(ctx, "answer", func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.server.Listen+page, nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d", response.StatusCode)
		}
		return nil
	})
	if err != nil {
		return err
	}
	w.load, err = newGenerator(ctx, w.server.Listen, 16)
	return err
}

func (w *witness) end() (err error) {
	if w.load != nil {
		err = errors.Join(err, w.load.close())
	}
	if w.server != nil {
		err = errors.Join(err, w.server.end())
	}
	if w.origin != nil {
		err = errors.Join(err, w.origin.close())
	}
	return err
}

// observe runs the reads, the writes and the purges, and returns how many commits there were while it counted.
func (st *stage) observe(ctx context.Context, ws []*witness, pool *pgxpool.Pool, settings staleSettings) (int64, error) {
	l := newLedger(settings.keys+1, 1)
	keys := zipf(settings.keys, 1<<16)
	began := time.Now()
	counting := began.Add(settings.before)
	end := counting.Add(settings.span)
	stopped, stop := context.WithCancel(ctx)
	defer stop()

	behind, failed := errgroup.WithContext(stopped) // what runs until the reads are done
	var commits atomic.Int64
	news := make(chan change, 10_000)
	behind.Go(func() error { return write(failed, pool, l, settings, counting, &commits, news) })
	for _, w := range ws {
		if w.purge {
			p := &purger{address: w.server.Listen, client: http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}}
			listening := make(chan struct{})
			behind.Go(func() error { return p.run(failed, pool, func() { close(listening) }) })
			select {
			case <-listening:
			case <-failed.Done():
			}
		}
		if w.name == guarded {
			behind.Go(func() error { return watchSettled(failed, w.server.Admin, l, news) })
		}
	}
	reads, _ := errgroup.WithContext(failed)
	for _, w := range ws {
		reads.Go(func() error {
			if err := w.read(failed, l, keys, settings, counting); err != nil {
				return fmt.Errorf("%s: %w", w, err)
			}
			return nil
		})
	}
	reads.Go(func() error {
		if err := wait(failed, time.Until(counting)); err != nil {
			return err
		}
		for _, w := range ws {
			w.atStart = w.origin.requests.Load()
		}
		st.say("counting from here, for %s", settings.span)
		err := wait(failed, time.Until(end))
		for _, w := range ws {
			w.atEnd = w.origin.requests.Load()
		}
		return err
	})
	err := reads.Wait()
	stop()
	if other := behind.Wait(); other != nil {
		err = other // what came first: the reads have ended for it
	}
	return commits.Load(), err
}

// wait returns early, with an error, when ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// read asks the strategy's server and has the ledger judge what comes.
func (w *witness) read(ctx context.Context, l *ledger, keys []int32, settings staleSettings, counting time.Time) error {
	tail := " HTTP/1.1\r\nHost: " + host + "\r\n\r\n"
	key := func(n int) int { return int(keys[n%len(keys)]) }
	_, err := w.load.run(ctx, &plan{
		rate: settings.reads, span: settings.before + settings.span, status: 200, length: -1, polite: true,
		request: func(dst []byte, n int) []byte {
			return append(strconv.AppendInt(append(dst, "GET /page/"...), int64(key(n)), 10), tail...)
		},
		judge: func(a answer) error {
			id, version, err := parseRow(a.body)
			if err != nil {
				return err
			}
			if id != key(a.n) {
				return fmt.Errorf("asked for row %d, got row %d", key(a.n), id)
			}
			v, err := l.judge(id, version, a.began)
			if err != nil || a.began.Before(counting) {
				return err
			}
			w.reads++
			if v.stale {
				w.stale++
				w.ages = append(w.ages, v.age)
			}
			if v.settled {
				w.settled++
			}
			return nil
		},
	})
	slices.Sort(w.ages)
	return err
}

// change is a commit whose settlement isn't known yet.
type change struct {
	row, version int
	lsn          coherence.LSN // at or behind its end
}

// write commits changes at a constant rate until ctx ends.
func write(ctx context.Context, pool *pgxpool.Pool, l *ledger, settings staleSettings, counting time.Time, commits *atomic.Int64, news chan<- change) error {
	tick := time.NewTicker(time.Duration(float64(time.Second) / settings.writes))
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		row := 1 + n*7919%settings.keys // all rows alike, in an order that isn't theirs
		var version int
		var lsn string
		err := pool.QueryRow(ctx, "UPDATE pages SET version = version + 1 WHERE id = $1 RETURNING version", row).Scan(&version)
		if err == nil {
			err = l.committed(row, version, time.Now())
		}
		if err == nil {
			err = pool.QueryRow(ctx, "SELECT pg_current_wal_flush_lsn()::text").Scan(&lsn)
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("change row %d: %w", row, err)
		}
		at, err := coherence.ParseLSN(lsn)
		if err != nil {
			return err
		}
		if time.Now().After(counting) {
			commits.Add(1)
		}
		select {
		case news <- change{row, version, at}:
		default: // nobody wants to know
		}
	}
}

// watchSettled asks our proxy for its watermark and notes what is settled by it.
func watchSettled(ctx context.Context, admin string, l *ledger, news <-chan change) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var waiting []change
	for {
		select {
		case <-ctx.Done():
			return nil
		case c := <-news:
			waiting = append(waiting, c)
			continue
		case <-tick.C:
		}
		if len(waiting) == 0 {
			continue
		}
		watermark, err := askWatermark(ctx, admin)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		at := time.Now()
		waiting = slices.DeleteFunc(waiting, func(c change) bool {
			if c.lsn > watermark {
				return false
			}
			l.settle(c.row, c.version, at)
			return true
		})
	}
}

func askWatermark(ctx context.Context, admin string) (coherence.LSN, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/status", nil)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, fmt.Errorf("ask for the watermark: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	var status struct {
		Guard struct{ Watermark string } `json:"guard"`
	}
	if err := json.NewDecoder(response.Body).Decode(&status); err != nil {
		return 0, fmt.Errorf("ask for the watermark: %w", err)
	}
	return coherence.ParseLSN(status.Guard.Watermark)
}

func staleResult(ws []*witness, commits int64, s staleSettings) *result {
	t := table{
		title: "Staleness against origin load",
		head:  []string{"", "stale", "reached the origin", "responses", "stale ones", "age p50 ms", "age p99 ms", "oldest ms", "stale after settlement"},
		notes: []string{fmt.Sprintf("All at the same time, with the same reads and writes: %.0f reads a second each of %d rows (Zipf), %d commits in %s that change one row each, all rows alike; what came before, for %s, isn't counted. "+
			"A response is stale if a newer version of its row had been committed, and the writer knew it, before the request was sent; its age is the time since the commit that made it stale. "+
			"Each TTL is counted from the fill; nginx counts in whole seconds. The trigger notifies a listener that sends a PURGE for the URL. "+
			"Settled is what the proxy's own watermark had passed before the request was sent.", s.reads, s.keys, commits, s.span, s.before)},
	}
	r := &result{}
	for _, w := range ws {
		settled := "–"
		if w.name == guarded {
			settled = fmt.Sprint(w.settled)
			r.goals = append(r.goals, goal{what: "stale responses after settlement", ratio: float64(w.settled), limit: 0})
		}
		t.rows = append(t.rows, []string{
			w.String(), percent(w.shareStale()), percent(w.shareOrigin()), fmt.Sprint(w.reads), fmt.Sprint(w.stale),
			fmt.Sprintf("%.1f", milliseconds(w.ages.quantile(0.5))), fmt.Sprintf("%.1f", milliseconds(w.ages.quantile(0.99))),
			fmt.Sprintf("%.1f", milliseconds(w.ages.quantile(1))), settled,
		})
	}
	r.tables = []table{t}
	points := make([]point, len(ws))
	for i, w := range ws {
		points[i] = point{family: w.name, label: w.label, x: w.shareOrigin(), y: w.shareStale(), joined: w.ttl != ""}
		if w.name == guarded {
			points[i].note = fmt.Sprintf("none of %s stale", thousands(float64(w.reads)))
		}
		if w.name == guarded && w.stale > 0 {
			points[i].note = fmt.Sprintf("%s of %s stale, none for longer than %.0f ms; %s once settled",
				thousands(float64(w.stale)), thousands(float64(w.reads)), math.Ceil(milliseconds(w.ages.quantile(1))), thousands(float64(w.settled)))
		}
	}
	s.writes = float64(commits) / s.span.Seconds() // what came about, not what was wanted
	r.pictures = map[string]string{"staleness.svg": scatter(points, s)}
	return r
}

// percent shows small shares too.
func percent(share float64) string {
	switch p := 100 * share; {
	case p == 0:
		return "0 %"
	case p < 0.1:
		return strconv.FormatFloat(p, 'f', 4, 64) + " %"
	default:
		return strconv.FormatFloat(p, 'f', 2, 64) + " %"
	}
}
