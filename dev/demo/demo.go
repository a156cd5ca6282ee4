package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

func main() {
	signalled, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithCancel(context.Background())
	// A second Ctrl-C ends the process at once: whatever follows the first finds the default again.
	context.AfterFunc(signalled, func() { stop(); cancel() })
	if len(os.Args) == 2 && os.Args[1] == "levels" {
		os.Exit(compareLevels(ctx, os.LookupEnv, os.Stdout, os.Stderr))
	}
	os.Exit(demo(ctx, os.LookupEnv, os.Stdout, os.Stderr))
}

// demo is the program. It runs until ctx ends or DEMO_FOR is over and returns the exit status: 0 if all went well, 1 if
// something failed or a page was stale, 2 for settings that can't be followed. lookup finds environment variables.
//
// The last line on stdout is the summary whenever the load has run; what went wrong stands before it, on stderr.
func demo(ctx context.Context, lookup func(string) (string, bool), stdout, stderr io.Writer) int {
	settings, err := fromEnvironment(lookup)
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "demo:", err)
		return 2
	}
	result, err := run(ctx, settings, stdout)
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "demo:", err)
	}
	if result != nil {
		_, _ = fmt.Fprint(stdout, result.requestLines())
		_, _ = fmt.Fprintln(stdout, result)
	}
	if err != nil {
		return 1
	}
	return 0
}

// memoryTier is how many bytes of responses the proxy holds in memory: the configuration leaves the default.
const memoryTier = 256 << 20

// run starts everything, lets it work and stops it. The order of the stop matters: first those who make requests, so that
// no request meets a closed door; then a last look at the pages while nothing changes; then programs before the servers that they use.
//
// Without an error the summary is there. With one it is there if the load has run.
func run(ctx context.Context, settings Settings, stdout io.Writer) (result *summary, err error) {
	s := &stage{settings: settings, out: stdout}
	defer func() { err = errors.Join(err, s.stop()) }() // D1
	if err := s.start(ctx); err != nil {
		if ctx.Err() != nil {
			return &summary{}, nil // asked to stop while starting: no failure
		}
		return nil, err
	}
	catalogue, err := s.catalogue(ctx)
	if err != nil {
		return nil, err
	}
	_, _ = fmt.Fprint(stdout, s.welcome())

	l := newLoad(settings, s.endpoints, catalogue)
	defer l.client.http.CloseIdleConnections()
	before, err := scrape(ctx, l.client, s.endpoints.admin())
	if err != nil {
		return nil, err
	}
	failure := s.work(ctx, l, stdout)
	if failure == nil {
		failure = s.lastLook(ctx, l, before, stdout)
	}
	after, err := scrape(context.WithoutCancel(ctx), l.client, s.endpoints.admin())
	if err != nil {
		after = before // the proxy is gone, and failure says so
	}
	return &summary{
		requests: l.requests.Load(), hits: l.hits.Load(), stale: l.stale.Load(),
		first: l.first.Load(), purges: l.purged.Load(), waited: l.waited.Load(),
		changes: int64(after.changes - before.changes), purged: int64(after.purged - before.purged),
		epochs: int64(after.epochs - before.epochs), memory: after.memory / memoryTier,
	}, errors.Join(failure, l.verdict())
}

// work runs the load and shows the live line until the time is over, ctx ends, or something breaks.
func (s *stage) work(ctx context.Context, l *load, stdout io.Writer) error {
	if s.settings.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.settings.For)
		defer cancel()
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.proxy.watch(ctx) })
	group.Go(func() error { return s.origin.watch(ctx) })
	group.Go(func() error { return l.run(ctx) })
	group.Go(func() error { return l.show(ctx, newDisplay(stdout)) })
	return group.Wait()
}

// show prints a line a second.
func (l *load) show(ctx context.Context, d *display) error {
	defer d.end()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		now, err := scrape(ctx, l.client, l.endpoints.admin())
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		d.show(moment{
			sample: now, requests: l.requests.Load(), hits: l.hits.Load(),
			audited: l.audited.Load(), stale: l.stale.Load(),
		})
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

const (
	// settlePatience is how long the last changes may take to reach the proxy, and lookPatience the last audit.
	settlePatience = 5 * time.Second
	lookPatience   = 30 * time.Second
)

// lastLook audits once more now that the writers have stopped. That ctx has ended is why they have.
func (s *stage) lastLook(ctx context.Context, l *load, before sample, stdout io.Writer) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookPatience)
	defer cancel()
	_, _ = fmt.Fprint(stdout, "comparing what is cached with the origin once more, now that nothing changes … ")
	if err := l.awaitChanges(ctx, before); err != nil {
		return err
	}
	audited := l.audited.Load()
	l.auditRest(ctx)
	_, _ = fmt.Fprintf(stdout, "%d hits\n", l.audited.Load()-audited)
	return nil
}

// awaitChanges waits until the proxy has counted every row that the writers changed, so that the summary is of a whole.
func (l *load) awaitChanges(ctx context.Context, before sample) error {
	deadline := time.Now().Add(settlePatience)
	for {
		now, err := scrape(ctx, l.client, l.endpoints.admin())
		if err != nil {
			return err
		}
		if int64(now.changes-before.changes) >= l.changes.Load() || time.Now().After(deadline) {
			return nil
		}
		sleep(ctx, 20*time.Millisecond)
	}
}

func (s *stage) catalogue(ctx context.Context) (*catalogue, error) {
	conn, err := pgx.Connect(ctx, s.endpoints.Postgres)
	if err != nil {
		return nil, fmt.Errorf("read the catalogue: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	return readCatalogue(ctx, conn)
}

// welcome says where to look.
func (s *stage) welcome() string {
	e := s.endpoints
	text := fmt.Sprintf(`
  site, through the proxy   %s/
  site, from the origin     %s/
  dashboard                 %s/
  metrics                   %s/metrics
  logs                      %s/*.log

`, e.site(), e.Origin, e.admin(), e.admin(), s.settings.Dir)
	if s.settings.For == 0 {
		text += "Ctrl-C stops everything.\n\n"
	}
	return text
}
