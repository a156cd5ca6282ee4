package cdc

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"walpurge/dev/testbed"
	"walpurge/internal/cdc/catalogue"
	"walpurge/internal/cdc/pgoutput/pgoutputtest"
	"walpurge/internal/coherence"
)

func TestMain(m *testing.M) {
	if job := os.Getenv(leaderVariable); job != "" {
		os.Exit(leadAlone(job))
	}
	testbed.Main(m)
}

// patience bounds every wait of these tests.
const patience = 30 * time.Second

// eventually waits until done says so.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	patient(t, patience, what, done)
}

// patient waits for as long as it is told.
func patient(t testing.TB, patience time.Duration, what string, done func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// client is an ordinary session of a test.
type client struct {
	t    testing.TB
	conn *pgx.Conn
}

func newClient(t testing.TB, url string) *client {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return &client{t, conn}
}

// exec runs statements by the simple protocol.
func (c *client) exec(statements ...string) {
	c.t.Helper()
	for _, s := range statements {
		if _, err := c.conn.PgConn().Exec(context.Background(), s).ReadAll(); err != nil {
			c.t.Fatalf("%s: %v", s, err)
		}
	}
}

// text asks for one value as text.
func (c *client) text(query string) string {
	c.t.Helper()
	results, err := c.conn.PgConn().Exec(context.Background(), query).ReadAll()
	if err != nil {
		c.t.Fatalf("%s: %v", query, err)
	}
	if len(results) == 0 || len(results[0].Rows) == 0 {
		return ""
	}
	return string(results[0].Rows[0][0])
}

// major is the server's major version.
func (c *client) major() int {
	c.t.Helper()
	version, err := strconv.Atoi(c.text("SHOW server_version_num"))
	if err != nil {
		c.t.Fatal(err)
	}
	return version / 10000
}

// notes is an Observer that writes down what it is told.
type notes struct {
	guard *coherence.Guard

	mu      sync.Mutex
	lines   []string
	epochs  []string
	settled int
	rows    int
	biggest int
	lag     lag
}

func (n *notes) Applied(tx *coherence.Transaction, _ *coherence.Purge, _ time.Duration) {
	n.lag.note(tx)
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, table := range tx.Rows {
		for _, count := range table {
			n.rows += count
		}
	}
	n.biggest = max(n.biggest, len(tx.Changes))
	if len(n.lines) > 10_000 || len(tx.Changes) > 1000 {
		return
	}
	for _, t := range tx.WholeTables() {
		n.lines = append(n.lines, "whole "+n.guard.Tables()[t].Name)
	}
	for _, g := range tx.Groups {
		n.lines = append(n.lines, "group "+g)
	}
	for i := range tx.Changes {
		n.lines = append(n.lines, pgoutputtest.Describe(n.guard.Tables(), tx, &tx.Changes[i]))
	}
}

func (n *notes) Settled(time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.settled++
}

func (n *notes) Epoch(reason string, _ int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.epochs = append(n.epochs, reason)
}

// rig is a listener at work.
type rig struct {
	*client
	url      string
	cfg      Config
	guard    *coherence.Guard
	listener *Listener
	notes    *notes
	stop     func() error
}

// clock is a monotonic one.
func clock() func() coherence.Nanos {
	start := time.Now()
	return func() coherence.Nanos { return coherence.Nanos(time.Since(start)) + 1 }
}

// config is a configuration with a slot and a publication of its own.
func config(t testing.TB, url string, watches ...catalogue.Watch) Config {
	name := regexp.MustCompile(`[^a-z0-9_]`).ReplaceAllString(strings.ToLower(t.Name()), "_")
	return Config{
		Scope:    catalogue.Scope{URL: url, Slot: "s_" + name[max(0, len(name)-50):], Publication: "walpurge", Watches: watches},
		BulkRows: 1000, MaxLag: 500 * time.Millisecond, Now: clock(),
	}
}

// listen starts a listener and waits for the first proof of freshness.
func listen(t testing.TB, cfg Config) *rig {
	t.Helper()
	r := start(t, cfg)
	eventually(t, "the first proof", func() bool { return r.guard.Proven() != 0 })
	return r
}

// start starts a listener.
func start(t testing.TB, cfg Config) *rig {
	t.Helper()
	catalogue, err := catalogue.Inspect(t.Context(), cfg.Scope)
	if err != nil {
		t.Fatalf("inspect: %v", err)
	}
	guard, err := coherence.New(coherence.Config{Tables: catalogue.Tables})
	if err != nil {
		t.Fatal(err)
	}
	if city := slices.IndexFunc(catalogue.Tables, func(t coherence.Table) bool { return t.Name == "public.listings" && t.Column("city") >= 0 }); city >= 0 && cfg.Relay != nil {
		guard.Use(cityTemplate(guard)) // before the relay is loaded
	}
	r := &rig{client: newClient(t, cfg.URL), url: cfg.URL, cfg: cfg, guard: guard, notes: &notes{guard: guard}}
	r.listener = NewListener(cfg, catalogue, guard, r.notes)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.listener.Run(ctx) }()
	r.stop = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-ended:
			return err
		case <-time.After(patience):
			return fmt.Errorf("the listener does not stop")
		}
	})
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("stop the listener: %v", err)
		}
		if t.Failed() {
			t.Logf("status: %+v\nepochs: %v\nlines: %v", r.listener.Status(), r.notes.epochs, r.lines())
		}
	})
	return r
}

// lines are the changes seen so far.
func (r *rig) lines() []string {
	r.notes.mu.Lock()
	defer r.notes.mu.Unlock()
	return slices.Clone(r.notes.lines)
}

// epochs are the reasons seen so far.
func (r *rig) epochs() []string {
	r.notes.mu.Lock()
	defer r.notes.mu.Unlock()
	return slices.Clone(r.notes.epochs)
}

// flushed is the primary's position after all that was done so far.
func (r *rig) flushed() coherence.LSN {
	r.t.Helper()
	lsn, err := coherence.ParseLSN(r.text("SELECT pg_current_wal_flush_lsn()"))
	if err != nil {
		r.t.Fatal(err)
	}
	return lsn
}

// caughtUp waits until everything that was committed so far is settled.
func (r *rig) caughtUp() {
	r.t.Helper()
	at := r.flushed()
	eventually(r.t, "the watermark reaches "+at.String(), func() bool { return r.guard.Watermark() >= at })
}

// expect runs statements and compares the changes that come of them.
func (r *rig) expect(statements []string, want ...string) {
	r.t.Helper()
	before := len(r.lines())
	r.exec(statements...)
	r.caughtUp()
	if got := r.lines()[before:]; !slices.Equal(got, want) {
		r.t.Errorf("after %q\n got %q\nwant %q", statements, got, want)
	}
}

// sql is a list of statements.
func sql(statements ...string) []string { return statements }
