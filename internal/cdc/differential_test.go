package cdc

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"walpurge/dev/testbed"
	"walpurge/internal/coherence"
)

// The size of one round. A guard tells no more than 256 shapes of a table
// apart, so every round has a table and a guard of its own.
const (
	differentialTransactions = 140
	differentialShapes       = 250
	requestsOfATemplate      = 5
	rowsInTheTable           = 150
)

// TestPurgesContainEveryPageThatChanged compares what the guard evicts with
// what SQL says. A page is a query with random conditions, a change a random
// transaction: after each, every page whose result is another must be gone.
//
// A round depends on nothing but its seed. In short tests there is one
// for each replica identity.
//
//	go test ./internal/cdc -run 'TestPurgesContainEveryPageThatChanged/FULL/seed_1'
func TestPurgesContainEveryPageThatChanged(t *testing.T) {
	for _, identity := range []string{"FULL", "DEFAULT"} {
		t.Run(identity, func(t *testing.T) {
			var total tally
			rounds := uint64(3)
			if testbed.Short() {
				rounds = 1
			}
			for seed := range rounds {
				t.Run(fmt.Sprintf("seed %d", seed+1), func(t *testing.T) {
					total.add(differential(t, testbed.Database(t), identity, seed+1, false, 0))
				})
			}
			testbed.Measured(t, "replica identity %s: %s", identity, total)
			if identity == "FULL" && total.plain.needless*10 > total.plain.evicted {
				t.Errorf("more than a tenth of the purges of pages with exact conditions was needless: %+v", total.plain)
			}
		})
	}
}

// TestPurgesContainEveryPageThatChangedInPieces is the same where every
// transaction is streamed while it is open.
func TestPurgesContainEveryPageThatChangedInPieces(t *testing.T) {
	e := newEager(t)
	url := e.database()
	total := differential(t, url, "FULL", 4, true, 0)
	c := newClient(t, url)
	pieces := c.text("SELECT stream_count FROM pg_stat_replication_slots WHERE slot_name = 'differential'")
	testbed.Measured(t, "in %s pieces: %s", pieces, total)
	streamed, err := strconv.Atoi(c.text("SELECT stream_txns FROM pg_stat_replication_slots WHERE slot_name = 'differential'"))
	if err != nil || streamed < total.transactions/2 {
		t.Errorf("%d of %d transactions were streamed (%v)", streamed, total.transactions, err)
	}
}

// TestPurgesContainEveryPageThatChangedReadAhead is the same where the log is
// read ahead all the time, and each transaction comes from whichever source is first.
func TestPurgesContainEveryPageThatChangedReadAhead(t *testing.T) {
	total := differential(t, testbed.Database(t), "DEFAULT", 5, false, -1)
	testbed.Measured(t, "%d of %d transactions were read ahead: %s", total.early, total.transactions, total)
	if total.early == 0 {
		t.Error("none was")
	}
}

// pad makes a transaction large enough to be streamed, in a piece before its
// statements and one with them.
func pad(statements []string) []string {
	const filler = "INSERT INTO filler SELECT repeat('x', 1000) FROM generate_series(1, 90)"
	begin, end := "BEGIN", "COMMIT"
	if statements[0] == begin {
		end = statements[len(statements)-1]
		statements = statements[1 : len(statements)-1]
	}
	return slices.Concat(sql(begin, filler), statements, sql(filler, end))
}

// tally counts, each page once a transaction.
type tally struct {
	transactions, rows int
	early              int // transactions that were read ahead
	compared, changed  int
	memory             outcome // of the pages in the memory tier
	plain              outcome // of those among them whose conditions are all exact, in transactions below bulk rows
	stored             outcome // of the same pages as another tier has them, by the fences
}

// outcome counts purges.
type outcome struct{ evicted, needless, missed int }

func (o *outcome) add(p outcome) {
	o.evicted += p.evicted
	o.needless += p.needless
	o.missed += p.missed
}

// count counts a page.
func (o *outcome) count(evicted, changed bool) {
	switch {
	case evicted && changed:
		o.evicted++
	case evicted:
		o.evicted++
		o.needless++
	case changed:
		o.missed++
	}
}

func (o outcome) String() string {
	return fmt.Sprintf("%d purged, %d missed, %.1f%% needless", o.evicted, o.missed, 100*float64(o.needless)/float64(max(o.evicted, 1)))
}

func (n *tally) add(m tally) {
	n.transactions += m.transactions
	n.rows += m.rows
	n.early += m.early
	n.compared += m.compared
	n.changed += m.changed
	n.memory.add(m.memory)
	n.plain.add(m.plain)
	n.stored.add(m.stored)
}

func (n tally) String() string {
	return fmt.Sprintf("%d row changes in %d transactions, %d pages compared, %d changed: %s (with exact conditions %s; from another tier %s)",
		n.rows, n.transactions, n.compared, n.changed, n.memory, n.plain, n.stored)
}

// comparison is one round.
type comparison struct {
	*rig
	generator
	all   []variety // the table's columns
	seed  uint64
	pages []*page

	padded bool // every transaction is large enough to be streamed in pieces
	tally
}

// differential runs one round.
func differential(t *testing.T, url, identity string, seed uint64, padded bool, ahead time.Duration) tally {
	c := newComparison(t, url, identity, seed, ahead)
	c.padded = padded
	c.exec("BEGIN", c.insert(rowsInTheTable), "COMMIT")
	c.caughtUp()
	c.openPages()
	for i, result := range c.results() {
		c.pages[i].result = result
	}
	c.seen()
	for range differentialTransactions {
		before := c.guard.Watermark()
		statements := c.transaction()
		if c.padded {
			statements = pad(statements)
		}
		c.exec(statements...)
		at := c.flushed()
		results := c.results()
		eventually(t, "the watermark reaches "+at.String(), func() bool { return c.guard.Watermark() >= at })
		c.compare(before, results, statements)
		if t.Failed() && c.memory.missed+c.stored.missed >= 5 {
			t.Fatalf("seed %d, replica identity %s: enough after %d transactions", seed, identity, c.transactions)
		}
	}
	c.early = int(c.listener.Status().ReadAheadTransactions)
	t.Logf("seed %d: %s", seed, c.tally)
	if len(c.epochs()) != 1 {
		t.Errorf("epochs began for %q", c.epochs())
	}
	return c.tally
}

// newComparison makes the table, the listener and the pages.
func newComparison(t *testing.T, url, identity string, seed uint64, ahead time.Duration) *comparison {
	c := &comparison{seed: seed, all: slices.Clone(varieties)}
	c.Rand = rand.New(rand.NewPCG(seed, 0))
	admin := newClient(t, url)
	if admin.text("SELECT count(*) FROM pg_available_extensions WHERE name = 'citext'") == "1" {
		admin.exec("CREATE EXTENSION citext")
		c.all = append(c.all, citext)
	} else {
		t.Log("this server has no citext (package postgresql-contrib): compared without it")
	}
	admin.exec(`CREATE TYPE mood AS ENUM ('sad', 'ok', 'Happy', 'happy', 'São')`, `CREATE DOMAIN cents AS integer CHECK (VALUE >= 0)`,
		`CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`,
		`CREATE COLLATION turkish (provider = icu, locale = 'tr-TR')`,
		`CREATE FUNCTION castable(value text, type text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN EXECUTE format('SELECT %L::%s', value, type); RETURN true; EXCEPTION WHEN others THEN RETURN false; END $$`)
	var body []string
	w := Watch{Table: "public.every"}
	for _, col := range c.all {
		body = append(body, col.name+" "+col.definition)
		if !col.unwatched {
			c.columns = append(c.columns, col)
			w.Columns = append(w.Columns, col.name)
			if col.folds != "" {
				w.Folded = append(w.Folded, col.name)
			}
		}
	}
	w.Conditions = w.Columns
	admin.exec("CREATE TABLE filler (t text)")
	admin.exec("CREATE TABLE every ("+strings.Join(body, ", ")+")", "ALTER TABLE every ALTER story SET STORAGE EXTERNAL",
		"ALTER TABLE every REPLICA IDENTITY "+identity)

	cfg := config(t, url, w)
	cfg.Slot, cfg.BulkRows, cfg.ReadAhead = "differential", 120, ahead
	c.rig = listen(t, cfg)
	// Services differ in what their sessions are set to.
	c.exec("SET jit = off", "SET TimeZone = "+pick(c.Rand, []string{"'UTC'", "'America/St_Johns'", "'Asia/Tokyo'"}),
		"SET DateStyle = "+pick(c.Rand, []string{"'ISO, MDY'", "'SQL, DMY'", "'German'"}))
	known := make(map[[2]string]bool)
	c.castable = func(cast, value string) bool {
		key := [2]string{cast, value}
		ok, asked := known[key]
		if !asked {
			ok = c.text("SELECT castable("+quoteText(value)+", "+quoteText(cast)+")") == "t"
			known[key] = ok
		}
		return ok
	}
	c.makePages()
	return c
}

// makePages declares as many templates as a guard can tell apart and makes
// requests of them.
func (c *comparison) makePages() {
	var declarations []*declared
	for shapes := 1; ; {
		d := c.declare()
		if shapes += 1 << len(d.Equal); shapes > differentialShapes {
			break
		}
		declarations = append(declarations, d)
	}
	for _, d := range declarations {
		for range requestsOfATemplate {
			p := &page{parts: []part{c.request(d)}}
			if c.oneIn(6) {
				p.parts = append(p.parts, c.request(pick(c.Rand, declarations)))
			}
			c.pages = append(c.pages, p)
		}
	}
}

// openPages binds and stores all pages, and prepares the query that tells
// their results.
func (c *comparison) openPages() {
	c.t.Helper()
	var digests []string
	for _, p := range c.pages {
		var digest []string
		for i := range p.parts {
			q := &p.parts[i]
			p.deps = append(p.deps, c.guard.Bind(&q.declared.Template, q.equal, q.ranges)...)
			digest = append(digest, q.digest(c.columns))
		}
		digests = append(digests, strings.Join(digest, " || ' ' || "))
		c.open(p)
	}
	query := "SELECT " + strings.Join(digests, ",\n") + " FROM (SELECT every.*, hashtextextended(every::text, 0) AS hash FROM every OFFSET 0) AS every"
	if _, err := c.conn.PgConn().Prepare(context.Background(), "results", query, nil); err != nil {
		c.t.Fatalf("prepare %s: %v", query, err)
	}
}

// open stores a page, as it is now. While the log is read ahead, a commit of the
// server's own (autovacuum) may count for every table until it is settled.
func (c *comparison) open(p *page) {
	c.t.Helper()
	eventually(c.t, fmt.Sprintf("seed %d: a page can be stored", c.seed), func() bool {
		p.handle = new(coherence.Handle)
		return c.guard.Open(p.handle, p, p.deps) && c.guard.Admit(p.handle, p)
	})
}

// results are the pages as SQL has them now.
func (c *comparison) results() []string {
	c.t.Helper()
	read := c.conn.PgConn().ExecPrepared(context.Background(), "results", nil, nil, nil).Read()
	if read.Err != nil || len(read.Rows) != 1 {
		c.t.Fatalf("ask for the pages: %v", read.Err)
	}
	results := make([]string, len(c.pages))
	for i, v := range read.Rows[0] {
		results[i] = string(v)
	}
	return results
}

// compare looks at what a transaction did to every page, and stores again
// what it purged. before is the watermark before the transaction.
func (c *comparison) compare(before coherence.LSN, results, statements []string) {
	c.t.Helper()
	rows, lines := c.seen()
	c.transactions++
	c.rows += rows
	for i, p := range c.pages {
		c.compared++
		changed := p.result != results[i]
		if changed {
			c.changed++
		}
		evicted := !p.handle.Live()
		c.memory.count(evicted, changed)
		if !p.odd() && rows <= c.cfg.BulkRows {
			c.plain.count(evicted, changed)
		}
		if changed && !evicted {
			c.report("a page that changed was not purged", p, statements, lines)
			c.guard.Close(p.handle)
		}
		if changed || evicted {
			c.open(p)
		}
		var other coherence.Handle
		usable := c.guard.OpenStored(&other, p, p.deps, c.guard.Epoch(), before)
		c.stored.count(!usable, changed)
		if usable {
			c.guard.Close(&other)
			if changed {
				c.report("a page that changed was taken from another tier", p, statements, lines)
			}
		}
		p.result = results[i]
	}
}

// report tells all that is needed to understand a failure.
func (c *comparison) report(what string, p *page, statements, lines []string) {
	c.t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "%s: seed %d, transaction %d\n", what, c.seed, c.transactions)
	for i := range p.parts {
		fmt.Fprintf(&b, "depends on%s\n  asks %s\n", p.parts[i].describe(c.columns), p.parts[i].query(c.columns))
	}
	for _, s := range statements {
		fmt.Fprintf(&b, "ran %.300s\n", strings.ReplaceAll(s, long, "…"))
	}
	for _, line := range lines[:min(len(lines), 3)] {
		fmt.Fprintf(&b, "the log has %s\n", line)
	}
	c.t.Error(b.String())
}

// seen returns and forgets how many rows the listener has seen changed, and which.
func (c *comparison) seen() (rows int, lines []string) {
	c.notes.mu.Lock()
	defer c.notes.mu.Unlock()
	rows, lines = c.notes.rows, c.notes.lines
	c.notes.rows, c.notes.lines = 0, nil
	return rows, lines
}
