package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"walpurge/internal/testbed"
)

// httpSettings say how long the comparison of hits takes.
type httpSettings struct {
	rounds int
	warm   time.Duration // load before each measurement, in whole seconds
	load   time.Duration // of each measurement, in whole seconds
}

// maxMisses is how many requests must have been hits for each that was not: on a busy machine the proof of freshness
// may be late once, and that is not what is measured here.
const maxMisses = 10_000

// httpResult is one contestant's rounds.
type httpResult struct {
	name     string
	cpu      series // microseconds a request
	rate     series // requests a second
	busy     series // share of its core
	requests int64
	origin   int64 // requests that reached the origin while it was measured
}

// stage is what all rounds share.
type stage struct {
	dir        string
	database   string // URL
	origin     *counted
	script     string // wrk's
	server     int    // the core of the server under load
	client     int    // the core of everything else
	settings   httpSettings
	contenders []contestant
}

// measureHTTP compares the CPU that a hit costs.
func measureHTTP(ctx context.Context, dir, proxy string, settings httpSettings, say func(string, ...any)) (results []httpResult, err error) {
	if err := requirePrograms(proxy, "haproxy", "nginx", "wrk", "gcc", "taskset"); err != nil {
		return nil, err
	}
	cores, err := allowedCores()
	if err != nil {
		return nil, err
	}
	if len(cores) < 2 {
		return nil, errors.New("one core is not enough: the server and the load need one each")
	}
	st := &stage{dir: dir, server: cores[0], client: cores[1], settings: settings, script: filepath.Join(dir, "summary.lua")}
	if proxy, err = filepath.Abs(proxy); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(st.script, []byte(wrkScript), 0o600); err != nil {
		return nil, err
	}
	floor, response, err := buildFloor(ctx, dir)
	if err != nil {
		return nil, err
	}
	st.contenders = contestants(proxy, floor, response)

	// M2: this process with the origin in it, and the database, leave the server's core alone.
	if err := pin(ctx, os.Getpid(), fmt.Sprint(st.client)); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, pin(context.WithoutCancel(ctx), os.Getpid(), coreList(cores))) }()
	postgres, err := testbed.StartPostgres(ctx, filepath.Join(dir, "postgres"), nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, postgres.Close()) }()
	if err := st.prepare(ctx, postgres); err != nil {
		return nil, err
	}
	if st.origin, err = newOrigin(); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.origin.close()) }()

	results = make([]httpResult, len(st.contenders))
	for round := range settings.rounds {
		for _, i := range turns(len(st.contenders), round) { // M1
			c := &st.contenders[i]
			results[i].name = c.name
			if err := st.round(ctx, c, round, &results[i]); err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			say("round %d of %d: %-16s %6.2f µs a hit at %7.0f requests/s", round+1, settings.rounds, c.name,
				results[i].cpu[round], results[i].rate[round])
		}
	}
	return results, nil
}

// prepare makes what the guarded proxy follows, as `proxy setup` does.
func (st *stage) prepare(ctx context.Context, postgres *testbed.Postgres) error {
	if err := pin(ctx, postgres.Pid(), fmt.Sprint(st.client)); err != nil {
		return err
	}
	st.database = postgres.URL("postgres")
	conn, err := pgx.Connect(ctx, st.database)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, "CREATE TABLE pages (id integer PRIMARY KEY, body text NOT NULL)"); err != nil {
		return fmt.Errorf("make the table: %w", err)
	}
	s, err := newSite(filepath.Join(st.dir, "setup"), "127.0.0.1:9", st.database)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return err
	}
	config := filepath.Join(s.Dir, "config")
	if err := render("guarded.yaml", config, s); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, st.contenders[0].program, "setup", "-config", config).CombinedOutput()
	if err != nil {
		return fmt.Errorf("proxy setup: %w: %s", err, out)
	}
	return nil
}

// round measures one contestant once, in a process of its own (M5).
func (st *stage) round(ctx context.Context, c *contestant, round int, into *httpResult) (err error) {
	s, err := newSite(filepath.Join(st.dir, fmt.Sprintf("%s-%d", strings.NewReplacer(" ", "", ",", "-").Replace(c.name), round)), st.origin.address, st.database)
	if err != nil {
		return err
	}
	server, err := c.launch(s, st.server)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	url := "http://" + s.Listen + page
	if err := warm(ctx, server, st.origin, url, c.mark); err != nil {
		return err
	}
	if st.settings.warm > 0 {
		if _, err := drive(ctx, st.script, st.client, url, st.settings.warm); err != nil {
			return err
		}
	}

	origin := st.origin.requests.Load()
	before, err := groupCPU(server.handle.Pid)
	if err != nil {
		return err
	}
	l, err := drive(ctx, st.script, st.client, url, st.settings.load)
	if err != nil {
		return err
	}
	after, err := groupCPU(server.handle.Pid)
	if err != nil {
		return err
	}
	reached := st.origin.requests.Load() - origin
	if err := errors.Join(l.prove(len(body)), fetch(ctx, url, c.mark)); err != nil { // M4
		return err
	}
	if reached*maxMisses > l.requests {
		return fmt.Errorf("%d of %d requests reached the origin: they were no hits", reached, l.requests)
	}
	used := after - before
	into.cpu = append(into.cpu, used.Seconds()*1e6/float64(l.requests))
	into.rate = append(into.rate, float64(l.requests)/l.took.Seconds())
	into.busy = append(into.busy, used.Seconds()/l.took.Seconds())
	into.requests += l.requests
	into.origin += reached
	return nil
}
