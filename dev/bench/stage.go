package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"walpurge/dev/testbed"
)

// stage is what all parts share: the cores, the database, Redis, the origin, and the programs to start.
type stage struct {
	dir      string
	short    bool
	say      func(string, ...any)
	server   int // the core of the server under load
	client   int // the core of everything else
	files    int // how many a process may have open
	postgres *testbed.Postgres
	database string // URL
	db       *pgx.Conn
	redis    *testbed.Redis
	origin   *counted
	all      map[string]*contestant
	started  int // servers

	missedSoFar int // pages that the part before has asked for once
	close       []func() error
}

// rows is how many rows the table pages has, from id 1.
const rows = 100_000

// newStage starts what all parts need. It must be ended, also after an error.
func newStage(ctx context.Context, dir, proxy, earlier string, short bool, say func(string, ...any)) (st *stage, err error) {
	st = &stage{dir: dir, short: short, say: say}
	if err := requirePrograms(proxy, "gcc", "taskset"); err != nil {
		return st, err
	}
	cores, err := allowedCores()
	if err != nil {
		return st, err
	}
	if len(cores) < 2 {
		return st, errors.New("one core is not enough: the server and the load need one each")
	}
	st.server, st.client = cores[0], cores[1]
	if st.files, err = raiseFiles(); err != nil {
		return st, fmt.Errorf("raise the limit of open files: %w", err)
	}
	if proxy, err = filepath.Abs(proxy); err != nil {
		return st, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return st, err
	}
	floor, err := buildFloor(ctx, dir)
	if err != nil {
		return st, err
	}
	st.all = contestants(proxy, floor)
	if earlier != "" {
		if earlier, err = filepath.Abs(earlier); err != nil {
			return st, err
		}
		if err := requirePrograms(earlier); err != nil {
			return st, err
		}
		c := *st.all[guarded]
		c.name, c.program = before, earlier
		st.all[before] = &c
	}

	// M2: this process with the origin in it, the database and Redis leave the server's core alone.
	if err := pin(ctx, os.Getpid(), fmt.Sprint(st.client)); err != nil {
		return st, err
	}
	st.close = append(st.close, func() error { return pin(context.WithoutCancel(ctx), os.Getpid(), coreList(cores)) })
	if st.postgres, err = testbed.StartPostgres(ctx, filepath.Join(dir, "postgres"), map[string]string{"max_connections": "200", "max_wal_size": "4GB"}); err != nil {
		return st, err
	}
	st.close = append(st.close, st.postgres.Close)
	if st.redis, err = testbed.StartRedis(ctx, filepath.Join(dir, "redis")); err != nil {
		return st, err
	}
	st.close = append(st.close, st.redis.Close)
	for _, pid := range []int{st.postgres.Pid(), st.redis.Pid()} {
		if err := pin(ctx, pid, fmt.Sprint(st.client)); err != nil {
			return st, err
		}
	}
	if st.origin, err = newOrigin(); err != nil {
		return st, err
	}
	st.close = append(st.close, st.origin.close)
	return st, st.prepare(ctx)
}

// end stops everything, the last started first.
func (st *stage) end() (err error) {
	for i := len(st.close) - 1; i >= 0; i-- {
		err = errors.Join(err, st.close[i]())
	}
	return err
}

// prepare makes what the guarded proxy follows, as `proxy setup` does.
func (st *stage) prepare(ctx context.Context) (err error) {
	st.database = st.postgres.URL("postgres")
	if st.db, err = pgx.Connect(ctx, st.database); err != nil {
		return err
	}
	st.close = append(st.close, func() error { return st.db.Close(context.WithoutCancel(ctx)) })
	for _, statement := range []string{
		"CREATE TABLE pages (id integer PRIMARY KEY, version integer NOT NULL DEFAULT 1)",
		fmt.Sprintf("INSERT INTO pages SELECT g FROM generate_series(1, %d) g", rows),
		"VACUUM ANALYZE pages",
	} {
		if _, err := st.db.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	s, err := newSite(filepath.Join(st.dir, "setup"), st.origin.address, st.database)
	if err != nil {
		return err
	}
	config := filepath.Join(s.Dir, "config")
	if err := render("guarded.yaml", config, s); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, st.all[guarded].program, "setup", "-config", config).CombinedOutput()
	if err != nil {
		return fmt.Errorf("proxy setup: %w: %s", err, out)
	}
	return nil
}

// server is a contestant that runs.
type server struct {
	*contestant
	*process
	site
}

// launch starts a contestant on the server's core and doesn't wait for it. adjust may change its site, and be nil.
func (st *stage) launch(name string, adjust func(*site)) (*server, error) {
	c := st.all[name]
	if c == nil {
		return nil, fmt.Errorf("there is no contestant %s", name)
	}
	if err := requirePrograms(c.program); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	st.started++
	dir := filepath.Join(st.dir, fmt.Sprintf("%d-%s", st.started, strings.NewReplacer(" ", "", ",", "-").Replace(name)))
	s, err := newSite(dir, st.origin.address, st.database)
	if err != nil {
		return nil, err
	}
	if name == django {
		s.Redis = st.redis.URL()
	}
	if adjust != nil {
		adjust(&s)
	}
	if _, s.OriginPort, err = net.SplitHostPort(s.Origin); err != nil {
		return nil, err
	}
	size := len(*st.origin.body.Load())
	s.Response = filepath.Join(dir, "response")
	if err := os.WriteFile(s.Response, append(headOf(size), bodyOf(size)...), 0o600); err != nil {
		return nil, err
	}
	p, err := c.launch(s, st.server)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &server{contestant: c, process: p, site: s}, nil
}

// run starts a contestant. It is warm once it is returned: it has the page 1 in its cache, unless it has none.
func (st *stage) run(ctx context.Context, name string, adjust func(*site)) (*server, error) {
	s, err := st.launch(name, adjust)
	if err != nil {
		return nil, err
	}
	if s.Bypass {
		err = s.await(ctx, "answer", func(ctx context.Context) error { return st.origin.fetch(ctx, s.Listen, page, "") })
	} else {
		err = st.origin.warm(ctx, s.process, s.Listen, s.mark)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s does not serve: %w", name, err), s.end())
	}
	return s, nil
}

// end stops the server and removes what it has written.
func (s *server) end() error { return errors.Join(s.stop(), os.RemoveAll(s.Dir)) }

// get is the request for a path at the server.
func (s *server) get(path, fields string) []byte {
	return []byte("GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\n" + fields + "\r\n")
}

// hits is a plan that asks for the page 1 alone, as fast as it goes.
func (s *server) hits(size int, span time.Duration) *plan {
	request := s.get(page, "")
	return &plan{
		span: span, status: 200, length: size, mark: []byte(s.mark),
		request: func(dst []byte, _ int) []byte { return append(dst, request...) },
	}
}

// maxMisses is how many requests must have been hits for each that was not: on a busy machine the proof of freshness
// may be late once, and that is not what is measured here.
const maxMisses = 10_000

// reading is what a load has cost the server.
type reading struct {
	*outcome
	cpu    time.Duration // of the server's whole process group
	origin int64         // requests that reached the origin
}

// perRequest is in microseconds.
func (r *reading) perRequest() float64 { return r.cpu.Seconds() * 1e6 / float64(r.requests) }

// measure runs a load of hits (M3, M4): by the origin's count, and by what the server says of its answers.
func (st *stage) measure(ctx context.Context, s *server, g *generator, p *plan) (*reading, error) {
	r, err := st.load(ctx, s, g, lenient(p))
	if err != nil {
		return nil, err
	}
	switch most := max(r.requests/maxMisses, 1); {
	case r.origin > most:
		return nil, fmt.Errorf("%s: %d of %d requests reached the origin: they were no hits", s.contestant.name, r.origin, r.requests)
	case r.unmarked > most:
		return nil, fmt.Errorf("%s: %d of %d answers don't say %q: they were no hits", s.contestant.name, r.unmarked, r.requests, p.mark)
	}
	return r, nil
}

// lenient is the plan with forgiveness for answers that are no hits.
func lenient(p *plan) *plan {
	q := *p
	q.lenient = true
	return &q
}

// load runs any load.
func (st *stage) load(ctx context.Context, s *server, g *generator, p *plan) (*reading, error) {
	origin := st.origin.requests.Load()
	before, err := groupCPU(s.Handle.Pid)
	if err != nil {
		return nil, err
	}
	o, err := g.run(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.contestant.name, err)
	}
	after, err := groupCPU(s.Handle.Pid)
	if err != nil {
		return nil, err
	}
	if o.requests == 0 {
		return nil, fmt.Errorf("%s: no request was answered", s.contestant.name)
	}
	return &reading{outcome: o, cpu: after - before, origin: st.origin.requests.Load() - origin}, nil
}

// with connects to a contestant that it starts for as long as do takes (M5).
func (st *stage) with(ctx context.Context, name string, connections int, adjust func(*site), do func(*server, *generator) error) (err error) {
	s, err := st.run(ctx, name, func(s *site) {
		// nginx closes idle connections when less than a sixteenth of what it may have is free.
		s.Connections = max(s.Connections, connections*5/4+500)
		if adjust != nil {
			adjust(s)
		}
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	g, err := newGenerator(ctx, s.Listen, connections)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer func() { err = errors.Join(err, g.close()) }()
	return do(s, g)
}
