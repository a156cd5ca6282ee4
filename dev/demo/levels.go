package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"
)

// level is an arrangement of caches that the same traffic runs against.
type level struct {
	name           string
	queries, proxy bool
}

func levels() []level {
	return []level{{"no cache", false, false}, {"query cache", true, false}, {"proxy", false, true}, {"both", true, true}}
}

// levelResult is what one level did under the traffic.
type levelResult struct {
	level
	requests       int64
	took           time.Duration
	p50, p99       time.Duration
	queries        float64 // that reached PostgreSQL
	audited, stale int64
}

const (
	levelsFor = time.Minute     // without DEMO_FOR
	warmUp    = 5 * time.Second // before anything counts, at most as long as what counts
)

// compareLevels runs the demo's traffic against the listings service without a cache,
// with its query cache, behind the proxy, and with both, and prints a table. It
// returns the exit status as demo does. DEMO_FOR is the time for each of them;
// without DEMO_RATE every reader asks again as soon as it has its answer.
func compareLevels(ctx context.Context, lookup func(string) (string, bool), stdout, stderr io.Writer) int {
	settings, err := fromEnvironment(lookup)
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "levels:", err)
		return 2
	}
	if text, ok := lookup("DEMO_RATE"); !ok || text == "" {
		settings.Rate = 0
	}
	if settings.For == 0 {
		settings.For = levelsFor
	}
	if err := runLevels(ctx, settings, stdout); err != nil {
		_, _ = fmt.Fprintln(stderr, "levels:", err)
		return 1
	}
	return 0
}

// runLevels prints the table when all have run. A stale response is an error
// after it.
func runLevels(ctx context.Context, settings Settings, stdout io.Writer) (err error) {
	s := &stage{settings: settings, out: stdout}
	defer func() { err = errors.Join(err, s.stop()) }() // D1
	for _, step := range []func(context.Context) error{s.prepare, s.startServers, s.fill, s.startOrigin, s.setup} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	// s.origin has no cache: writers and auditors use it, so that they neither fill the
	// caches nor count. What is measured is another process.
	catalogue, err := s.catalogue(ctx)
	if err != nil {
		return err
	}
	var results []levelResult
	var verdicts []error
	for _, l := range levels() {
		_, _ = fmt.Fprintf(stdout, "%s for %s … ", l.name, settings.For)
		result, verdict, err := s.runLevel(ctx, l, catalogue)
		if err != nil {
			_, _ = fmt.Fprintln(stdout, "failed")
			return fmt.Errorf("%s: %w", l.name, err)
		}
		if ctx.Err() != nil {
			_, _ = fmt.Fprintln(stdout, "stopped")
			return nil
		}
		_, _ = fmt.Fprintln(stdout, "done")
		results = append(results, result)
		if verdict != nil {
			verdicts = append(verdicts, fmt.Errorf("%s: %w", l.name, verdict))
		}
	}
	_, _ = fmt.Fprint(stdout, "\n", levelTable(results))
	return errors.Join(verdicts...)
}

// runLevel starts what the level is made of, from empty caches, lets the traffic
// run, and stops it. verdict is what the auditors say.
func (s *stage) runLevel(ctx context.Context, l level, c *catalogue) (result levelResult, verdict, err error) {
	if err := s.emptyRedis(ctx); err != nil {
		return result, nil, err
	}
	e := s.endpoints
	address, err := listenAddress(0)
	if err != nil {
		return result, nil, err
	}
	measured := "http://" + address
	args := []string{"run", "-listen", address, "-database", e.Postgres}
	if l.queries {
		args = append(args, "-redis", e.Redis, "-redis-namespace", "demo", "-slot", "walpurge_demo", "-publication", "walpurge_demo", "-max-lag", maxLag.String())
	}
	origin, err := startChild(s.path("measured.log"), s.program("origin"), args...)
	if err != nil {
		return result, nil, err
	}
	defer func() { err = errors.Join(err, origin.stop()) }()
	if err := origin.await(ctx, measured+"/healthz"); err != nil {
		return result, nil, err
	}
	site := measured
	watched := []*child{origin}
	if l.proxy {
		behind := e
		behind.Origin = measured
		if err := behind.writeProxyConfig(s.proxyConfig()); err != nil {
			return result, nil, err
		}
		if err := s.startProxy(ctx); err != nil {
			return result, nil, err
		}
		site = e.site()
		watched = append(watched, s.proxy)
		defer func() {
			err = errors.Join(err, s.proxy.stop())
			s.proxy = nil
		}()
	}
	work := newLoad(s.settings, e, c)
	defer work.client.http.CloseIdleConnections()
	work.auditor.site, work.auditor.all = site, true
	result, err = s.measure(ctx, work, site, measured, watched)
	result.level, result.audited, result.stale = l, work.audited.Load(), work.stale.Load()
	return result, work.verdict(), err
}

// emptyRedis gives every level the same start. The server is the demo's own.
func (s *stage) emptyRedis(ctx context.Context) error {
	options, err := redis.ParseURL(s.endpoints.Redis)
	if err != nil {
		return fmt.Errorf("empty Redis: %w", err)
	}
	client := redis.NewClient(options)
	defer func() { _ = client.Close() }()
	if err := client.FlushAll(ctx).Err(); err != nil {
		return fmt.Errorf("empty Redis: %w", err)
	}
	return nil
}

// measure runs readers, writers and auditors. Only what readers do after the
// warm-up counts.
func (s *stage) measure(ctx context.Context, l *load, site, measured string, watched []*child) (r levelResult, err error) {
	warm := min(warmUp, s.settings.For)
	ctx, cancel := context.WithTimeout(ctx, warm+s.settings.For)
	defer cancel()
	from := time.Now().Add(warm)
	latencies := make([][]time.Duration, readers)
	group, ctx := errgroup.WithContext(ctx)
	for _, c := range watched {
		group.Go(func() error { return c.watch(ctx) })
	}
	l.endpoints.Listen = strings.TrimPrefix(site, "http://")
	group.Go(func() error { return l.runWith(ctx, func(i int, a *audience) { latencies[i] = l.time(ctx, a, from) }) })
	var before, after float64
	group.Go(func() (err error) {
		if !sleep(ctx, warm) {
			return nil
		}
		if before, err = scrapeQueries(ctx, l.client, measured); ctx.Err() != nil {
			return nil
		}
		return err
	})
	if err := group.Wait(); err != nil {
		return r, err
	}
	r.took = time.Since(from)
	// Readers stop with ctx, so nothing is added after this.
	if after, err = scrapeQueries(context.WithoutCancel(ctx), l.client, measured); err != nil {
		return r, err
	}
	r.queries = after - before
	all := slices.Concat(latencies...)
	slices.Sort(all)
	r.requests = int64(len(all))
	r.p50, r.p99 = quantile(all, 0.5), quantile(all, 0.99)
	return r, nil
}

// time is a reader that notes how long each request from an instant on took.
func (l *load) time(ctx context.Context, a *audience, from time.Time) (took []time.Duration) {
	var due *pace
	if l.settings.Rate > 0 {
		due = newPace(float64(l.settings.Rate)/readers, rand.New(rand.NewPCG(a.random.Uint64(), 1)))
	}
	for due == nil || due.wait(ctx) {
		got, ok := l.ask(ctx, a)
		if ctx.Err() != nil {
			return took
		}
		if ok && got.sent.After(from) {
			took = append(took, got.received.Sub(got.sent))
		}
	}
	return took
}

// quantile is the smallest value that at least the share q of the sorted values
// doesn't exceed.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	at := int(q*float64(len(sorted))+0.999999) - 1
	return sorted[min(max(at, 0), len(sorted)-1)]
}

func scrapeQueries(ctx context.Context, c *client, service string) (float64, error) {
	a, err := c.page(ctx, service+"/metrics")
	if err != nil {
		return 0, fmt.Errorf("read the service's metrics: %w", err)
	}
	for line := range strings.Lines(string(a.body)) {
		var n float64
		if _, err := fmt.Sscanf(line, "origin_queries_total %g", &n); err == nil {
			return n, nil
		}
	}
	return 0, errors.New("read the service's metrics: origin_queries_total is missing")
}

// levelTable is the results as a table in Markdown.
func levelTable(results []levelResult) string {
	var b strings.Builder
	b.WriteString("| | requests/s | p50 | p99 | queries that reached PostgreSQL | queries per 1,000 requests | stale of audited |\n|---|---:|---:|---:|---:|---:|---:|\n")
	for _, r := range results {
		perThousand := 0.0
		if r.requests > 0 {
			perThousand = 1000 * r.queries / float64(r.requests)
		}
		fmt.Fprintf(&b, "| %s | %.0f | %.2f ms | %.2f ms | %.0f | %.1f | %d of %d |\n", r.name, float64(r.requests)/r.took.Seconds(),
			ms(r.p50), ms(r.p99), r.queries, perThousand, r.stale, r.audited)
	}
	return b.String()
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
