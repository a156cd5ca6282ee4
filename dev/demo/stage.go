package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"walpurge/dev/testbed"
)

// stage is the servers and programs that the demo has started.
type stage struct {
	settings  Settings
	endpoints endpoints
	out       io.Writer

	postgres *testbed.Postgres
	redis    *testbed.Redis
	origin   *child
	proxy    *child
}

// readyPatience bounds the start of each program.
const readyPatience = time.Minute

// database is the name of the demo's database.
const database = "listings"

// start brings everything up, each step on top of the one before. What has been started when it fails is for stop.
func (s *stage) start(ctx context.Context) error {
	if err := s.prepare(ctx); err != nil {
		return err
	}
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"starting private PostgreSQL and Redis servers", s.startServers},
		{fmt.Sprintf("filling the database with %d listings", s.settings.Listings), s.fill},
		{"starting origin, the listings service", s.startOrigin},
		// After the rows are there: the slot begins where the changes worth reading begin.
		{"preparing the database for the proxy", s.setup},
		{"starting the proxy", s.startProxy},
	} {
		began := time.Now()
		_, _ = fmt.Fprintf(s.out, "%s … ", step.what)
		if err := step.do(ctx); err != nil {
			_, _ = fmt.Fprintln(s.out, "failed")
			return err
		}
		_, _ = fmt.Fprintf(s.out, "%.1f s\n", time.Since(began).Seconds())
	}
	return nil
}

// prepare looks for the programs and makes the directory.
func (s *stage) prepare(context.Context) error {
	for _, name := range []string{"origin", "proxy"} {
		if _, err := os.Stat(s.program(name)); err != nil {
			return fmt.Errorf("find %s: %w; run `make build` first", name, err)
		}
	}
	return os.MkdirAll(s.settings.Dir, 0o755)
}

func (s *stage) program(name string) string { return filepath.Join(s.settings.Programs, name) }
func (s *stage) path(name string) string    { return filepath.Join(s.settings.Dir, name) }
func (s *stage) proxyConfig() string        { return s.path("demo.yaml") }

// startServers starts both servers at the same time.
func (s *stage) startServers(ctx context.Context) error {
	var group errgroup.Group
	group.Go(func() (err error) {
		s.postgres, err = testbed.StartPostgres(ctx, s.path("postgres"), map[string]string{
			"shared_buffers": "256MB",
			"max_wal_size":   "2GB",
			// A slot that nobody reads must not fill the disk.
			"max_slot_wal_keep_size": "1GB",
			"random_page_cost":       "1.1",
		})
		return err
	})
	group.Go(func() (err error) {
		s.redis, err = testbed.StartRedis(ctx, s.path("redis"), "--maxmemory", "512mb", "--maxmemory-policy", "allkeys-lru")
		return err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	s.endpoints.Postgres, s.endpoints.Redis = s.postgres.URL(database), s.redis.URL()
	return nil
}

// fill makes the database, its schema and its rows.
func (s *stage) fill(ctx context.Context) error {
	if _, err := s.postgres.CreateDatabase(ctx, database); err != nil {
		return err
	}
	origin := s.program("origin")
	if err := runChild(ctx, s.path("migrate.log"), origin, "migrate", "-database", s.endpoints.Postgres); err != nil {
		return err
	}
	return runChild(ctx, s.path("seed.log"), origin, "seed", "-database", s.endpoints.Postgres, "-listings", fmt.Sprint(s.settings.Listings))
}

func (s *stage) startOrigin(ctx context.Context) error {
	address, err := listenAddress(9000)
	if err != nil {
		return err
	}
	s.endpoints.Origin = "http://" + address
	s.origin, err = startChild(s.path("origin.log"), s.program("origin"), "run", "-listen", address, "-database", s.endpoints.Postgres)
	if err != nil {
		return err
	}
	return s.origin.await(ctx, s.endpoints.Origin+"/healthz")
}

// setup chooses the proxy's ports, writes its configuration and lets it prepare the database.
func (s *stage) setup(ctx context.Context) error {
	var err error
	if s.endpoints.Listen, err = listenAddress(8080); err != nil {
		return err
	}
	if s.endpoints.Admin, err = listenAddress(8081, s.endpoints.Listen); err != nil {
		return err
	}
	if err := s.endpoints.writeProxyConfig(s.proxyConfig()); err != nil {
		return err
	}
	return runChild(ctx, s.path("setup.log"), s.program("proxy"), "setup", "-config", s.proxyConfig())
}

func (s *stage) startProxy(ctx context.Context) (err error) {
	s.proxy, err = startChild(s.path("proxy.log"), s.program("proxy"), "run", "-config", s.proxyConfig())
	if err != nil {
		return err
	}
	return s.proxy.await(ctx, s.endpoints.admin()+"/readyz")
}

// await waits until url answers 200, at most readyPatience, and no longer than the child lives.
func (c *child) await(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, readyPatience)
	defer cancel()
	last := errors.New("not asked yet")
	for {
		select {
		case <-c.Done:
			return c.failed()
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return ctx.Err()
			}
			return fmt.Errorf("%s is not ready after %s: %w; the end of %s:\n%s", c.name, readyPatience, last, c.log, tail(c.log))
		case <-time.After(20 * time.Millisecond):
		}
		if last = ready(ctx, url); last == nil {
			return nil
		}
	}
}

func ready(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	return nil
}

// stop ends what was started, in the opposite order: whoever depends on something goes first. It removes the data.
func (s *stage) stop() error {
	var errs []error
	for _, c := range []*child{s.proxy, s.origin} {
		if c != nil {
			errs = append(errs, c.stop())
		}
	}
	if s.redis != nil {
		errs = append(errs, s.redis.Close())
	}
	if s.postgres != nil {
		errs = append(errs, s.postgres.Close())
	}
	return errors.Join(errs...)
}
