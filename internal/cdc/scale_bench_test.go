package cdc

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"walpurge/dev/testbed"
	"walpurge/internal/coherence"
	"walpurge/internal/relay"
	"walpurge/internal/retry"
)

// leaderVariable makes the test binary lead, as a process of its own whose CPU
// time is nobody else's, until its input ends.
const leaderVariable = "WALPURGE_TEST_LEADER"

// leaderJob is what such a process is told.
type leaderJob struct{ URL, Slot, Redis, Namespace string }

// listingsWatch is what the listeners of a fleet look at.
var listingsWatch = Watch{Table: "public.listings", Columns: []string{"city", "id", "price"}, Conditions: []string{"city", "id"}}

// leadAlone is such a process.
func leadAlone(text string) int {
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, "leader:", err)
		return 1
	}
	var job leaderJob
	if err := json.Unmarshal([]byte(text), &job); err != nil {
		return fail(err)
	}
	client, err := relay.NewClient(job.Redis)
	if err != nil {
		return fail(err)
	}
	cfg := Config{
		URL: job.URL, Slot: job.Slot, Publication: "walpurge", BulkRows: 1000, MaxLag: time.Second, Now: clock(),
		Watches: []Watch{listingsWatch}, Relay: &relay.Config{Client: client, Namespace: job.Namespace},
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	catalogue, err := Inspect(ctx, cfg)
	if err != nil {
		return fail(err)
	}
	guard, err := coherence.New(coherence.Config{Tables: catalogue.Tables})
	if err != nil {
		return fail(err)
	}
	guard.Use(cityTemplate(guard))
	if err := NewListener(cfg, catalogue, guard, nil).Run(ctx); err != nil {
		return fail(err)
	}
	return 0
}

// lag notes how long after its commit a transaction was applied, by the one
// clock of this machine.
type lag struct {
	mu   sync.Mutex
	on   bool
	each []time.Duration
}

func (l *lag) note(tx *coherence.Transaction) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.on {
		l.each = append(l.each, time.Since(tx.CommittedAt))
	}
}

// lagging is an Observer that notes nothing else.
type lagging struct {
	deaf
	lag
}

func (l *lagging) Applied(tx *coherence.Transaction, _ *coherence.Purge, _ time.Duration) { l.note(tx) }

// take returns what was noted since the last call, sorted.
func (l *lag) take() []time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	each := l.each
	l.each = nil
	slices.Sort(each)
	return each
}

// quantile of a sorted list.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[int(q*float64(len(sorted)-1))]
}

// crowdOf is a leader in a process of its own and followers in this one.
type crowdOf struct {
	*client
	b     testing.TB
	cfg   Config
	redis string
	stat  *redis.Client // for INFO
	pid   int           // of the leader
	ours  map[int]bool  // the leader's PostgreSQL processes
	all   []*Listener
	first lagging // of the first follower
	asked atomic.Int64
	ctx   context.Context
	group sync.WaitGroup
}

func newCrowd(b testing.TB) *crowdOf {
	b.Helper()
	pg := testbed.NewPostgres(b, map[string]string{"max_connections": "600"})
	store := testbed.NewRedis(b)
	c := &crowdOf{client: newClient(b, pg.URL("postgres")), b: b, redis: store.URL()}
	c.exec("CREATE TABLE listings (id int PRIMARY KEY, city text, price numeric, note text)", "ALTER TABLE listings REPLICA IDENTITY FULL",
		"INSERT INTO listings SELECT n, 'Lagos', n, 'a note' FROM generate_series(1, 100) n")
	options, err := redis.ParseURL(c.redis)
	if err != nil {
		b.Fatal(err)
	}
	c.stat = redis.NewClient(options)
	b.Cleanup(func() { _ = c.stat.Close() })
	c.cfg = Config{URL: pg.URL("postgres"), Slot: "crowd", Publication: "walpurge", BulkRows: 1000, MaxLag: time.Second, Watches: []Watch{listingsWatch}}
	c.lead()
	var cancel context.CancelFunc
	c.ctx, cancel = context.WithCancel(context.Background())
	b.Cleanup(func() {
		cancel()
		c.group.Wait()
	})
	return c
}

// lead starts the leader.
func (c *crowdOf) lead() {
	c.b.Helper()
	job, err := json.Marshal(leaderJob{c.cfg.URL, c.cfg.Slot, c.redis, "crowd"})
	if err != nil {
		c.b.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		c.b.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), leaderVariable+"="+string(job))
	cmd.Stderr = os.Stderr
	input, err := cmd.StdinPipe()
	if err != nil {
		c.b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		c.b.Fatal(err)
	}
	c.b.Cleanup(func() {
		_ = input.Close()
		if err := cmd.Wait(); err != nil {
			c.b.Errorf("the leader: %v", err)
		}
	})
	c.pid = cmd.Process.Pid
	eventually(c.b, "a leader", func() bool {
		return c.text("SELECT count(*) FROM pg_replication_slots WHERE active") == "1"
	})
	eventually(c.b, "its connections", func() bool { c.ours = c.backends(); return len(c.ours) >= 4 })
}

// backends are the PostgreSQL processes that serve listeners.
func (c *crowdOf) backends() map[int]bool {
	all := make(map[int]bool)
	for text := range strings.FieldsSeq(c.text("SELECT string_agg(pid::text, ' ') FROM pg_stat_activity WHERE application_name = 'walpurge'")) {
		pid, err := strconv.Atoi(text)
		if err != nil {
			c.b.Fatal(err)
		}
		all[pid] = true
	}
	return all
}

// grow adds followers until there are n.
func (c *crowdOf) grow(n int) {
	c.b.Helper()
	for len(c.all) < n {
		cfg := c.cfg
		now := clock()
		cfg.Now = func() coherence.Nanos {
			c.asked.Add(1) // each question notes when it was asked
			return now()
		}
		cfg.Relay = &relay.Config{Client: relayClient(c.b, c.redis), Namespace: "crowd"}
		catalogue, err := Inspect(c.b.Context(), cfg)
		if err != nil {
			c.b.Fatal(err)
		}
		guard, err := coherence.New(coherence.Config{Tables: catalogue.Tables})
		if err != nil {
			c.b.Fatal(err)
		}
		guard.Use(cityTemplate(guard))
		var o Observer
		if len(c.all) == 0 {
			c.first.on = true
			o = &c.first
		}
		l := NewListener(cfg, catalogue, guard, o)
		c.all = append(c.all, l)
		c.group.Go(func() {
			if err := l.Run(c.ctx); err != nil {
				c.b.Errorf("a follower: %v", err)
			}
		})
	}
	for _, l := range c.all {
		eventually(c.b, "the followers are proven fresh", func() bool { return l.guard.Proven() != 0 })
	}
}

// reading is what the counters of all parts say.
type reading struct {
	at                  time.Time
	leader, pg          time.Duration // CPU; pg is of the backends that serve followers
	redisCPU            float64       // seconds
	redisIn, redisOut   int64         // bytes
	entries, reads, all int64         // commands
	asked               int64         // questions of followers for the flush position
}

func (c *crowdOf) read() reading {
	c.b.Helper()
	r := reading{at: time.Now(), leader: cpu(c.b, c.pid)}
	for pid := range c.backends() {
		if !c.ours[pid] {
			r.pg += cpu(c.b, pid)
		}
	}
	info, err := c.stat.Info(c.b.Context(), "everything").Result()
	if err != nil {
		c.b.Fatal(err)
	}
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch name {
		case "used_cpu_sys", "used_cpu_user":
			f, err := strconv.ParseFloat(value, 64)
			if err != nil {
				c.b.Fatal(err)
			}
			r.redisCPU += f
		case "total_net_input_bytes":
			r.redisIn = number(c.b, value)
		case "total_net_output_bytes":
			r.redisOut = number(c.b, value)
		case "total_commands_processed":
			r.all = number(c.b, value)
		case "cmdstat_xadd", "cmdstat_xread":
			calls, _, _ := strings.Cut(strings.TrimPrefix(value, "calls="), ",")
			if name == "cmdstat_xadd" {
				r.entries = number(c.b, calls)
			} else {
				r.reads = number(c.b, calls)
			}
		}
	}
	r.asked = c.asked.Load()
	return r
}

func number(t testing.TB, text string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// cpu is the CPU time, user and system, that a process has used.
func cpu(t testing.TB, pid int) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	const utime, stime, tick = 14 - 3, 15 - 3, 10 * time.Millisecond
	return time.Duration(number(t, string(fields[utime]))+number(t, string(fields[stime]))) * tick
}

// load runs four writers for a while; a pause of 0 is full speed. It returns
// how many commits there were.
func (c *crowdOf) load(pause, span time.Duration) int64 {
	c.b.Helper()
	ctx, cancel := context.WithTimeout(c.b.Context(), span)
	defer cancel()
	var commits atomic.Int64
	var group sync.WaitGroup
	for w := range 4 {
		conn, err := pgx.Connect(c.b.Context(), c.cfg.URL)
		if err != nil {
			c.b.Fatal(err)
		}
		group.Go(func() {
			defer conn.Close(context.Background())
			for n := 0; ctx.Err() == nil; n++ {
				if _, err := conn.Exec(context.Background(), "UPDATE listings SET price = $1 WHERE id = $2", n%1000, 1+w*25+n%25); err != nil {
					c.b.Errorf("write: %v", err)
					return
				}
				commits.Add(1)
				if pause > 0 {
					retry.Wait(ctx, pause)
				}
			}
		})
	}
	group.Wait()
	at := c.text("SELECT pg_current_wal_flush_lsn()")
	end, err := coherence.ParseLSN(at)
	if err != nil {
		c.b.Fatal(err)
	}
	for _, l := range c.all {
		eventually(c.b, "the followers have everything", func() bool { return l.guard.Applied() >= end })
	}
	return commits.Load()
}

// BenchmarkFollowers prints what 1, 10, 50 and 200 followers cost the leader,
// Redis and PostgreSQL. The followers are in this process, each with the
// connections that it has in a proxy; the leader is a process of its own.
func BenchmarkFollowers(b *testing.B) {
	const span = 5 * time.Second
	for b.Loop() {
		c := newCrowd(b)
		w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(w, "\t\tcommits\tentries\tleader\tRedis\tRedis\tRedis µs\tRedis bytes\treads\tquestions\tPostgreSQL\tcommit to purge\t\t")
		fmt.Fprintln(w, "followers\tload\t/s\t/commit\tµs/commit\t% of a core\tµs/commit\t/entry/follower\t/entry/follower\t/entry/follower\t/s/follower\t% of a core/follower\tp50\tp99\t")
		for _, n := range []int{1, 10, 50, 200} {
			c.grow(n)
			for _, l := range []struct {
				name  string
				pause time.Duration
			}{{"quiet", -1}, {"slow", 100 * time.Millisecond}, {"steady", 10 * time.Millisecond}, {"full speed", 0}} {
				c.first.take()
				before := c.read()
				commits := int64(0)
				if l.pause < 0 {
					retry.Wait(b.Context(), span)
				} else {
					commits = c.load(l.pause, span)
				}
				c.row(w, l.name, commits, before, c.read())
			}
		}
		if err := w.Flush(); err != nil {
			b.Fatal(err)
		}
	}
}

// row prints what the counters say of one stage, per follower, commit and
// entry of the relay.
func (c *crowdOf) row(w io.Writer, load string, commits int64, before, after reading) {
	n, seconds := float64(len(c.all)), after.at.Sub(before.at).Seconds()
	entries, store := after.entries-before.entries, after.redisCPU-before.redisCPU
	each := c.first.take()
	per := func(v float64, of int64) string {
		if of == 0 {
			return "-"
		}
		return fmt.Sprintf("%.1f", v/float64(of))
	}
	fmt.Fprintf(w, "%.0f\t%s\t%.0f\t%s\t%s\t%.1f\t%s\t%s\t%s\t%s\t%.1f\t%.3f\t%v\t%v\t\n", n, load, float64(commits)/seconds,
		per(float64(entries), commits), per((after.leader-before.leader).Seconds()*1e6, commits),
		store/seconds*100, per(store*1e6, commits), per(store*1e6/n, entries), per(float64(after.redisOut-before.redisOut)/n, entries),
		per(float64(after.reads-before.reads)/n, entries),
		float64(after.asked-before.asked)/seconds/n, (after.pg-before.pg).Seconds()/seconds/n*100,
		quantile(each, 0.5).Round(10*time.Microsecond), quantile(each, 0.99).Round(10*time.Microsecond))
}
