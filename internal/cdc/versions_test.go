package cdc

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"walpurge/dev/testbed"
	"walpurge/internal/coherence"
)

// What only some versions of the server have. `make versions` runs these tests
// with each; on an older one there is nothing to see.

// since tells whether the servers of these tests are of a major version or a later one.
func since(t *testing.T, major int) bool {
	t.Helper()
	return newClient(t, testbed.Server(t).URL("postgres")).major() >= major
}

// slotStatement is the statement by which setup makes a slot on this server.
func (c *client) slotStatement(name string) string {
	c.t.Helper()
	if c.major() >= 17 {
		return "SELECT pg_create_logical_replication_slot('" + name + "', 'pgoutput', failover => true)"
	}
	return "SELECT pg_create_logical_replication_slot('" + name + "', 'pgoutput')"
}

// moreOptions are those that our publications have on this server beside those
// that they have on all.
func (c *client) moreOptions() string {
	c.t.Helper()
	if c.major() >= 18 {
		return ", publish_generated_columns = stored"
	}
	return ""
}

// TestVirtualColumnCountsAsChanged: since PostgreSQL 18 a column is computed when
// it is read, unless STORED is said.
func TestVirtualColumnCountsAsChanged(t *testing.T) {
	if !since(t, 18) {
		return
	}
	url := testbed.Database(t)
	c := newClient(t, url)
	c.exec(`CREATE TABLE rooms (id int PRIMARY KEY, note text, city text, price int GENERATED ALWAYS AS (length(note)), size int GENERATED ALWAYS AS (length(note)) STORED)`)
	r := listen(t, config(t, url, watchRooms()))
	for _, columns := range []string{"stored", "none"} {
		r.exec("ALTER PUBLICATION walpurge SET (publish_generated_columns = "+columns+")", "DELETE FROM rooms")
		r.caughtUp()
		before := len(r.lines())
		r.exec("INSERT INTO rooms VALUES (1, 'x', 'Lagos')", "UPDATE rooms SET note = 'xx'")
		r.caughtUp()
		if got, want := r.lines()[before:], sql("insert rooms: id=1 city=Lagos price=?", "update rooms: id=1 city=? price=? -> id=1 city=Lagos price=? [id city price other]"); !slices.Equal(got, want) {
			t.Errorf("got %q\nwant %q", got, want)
		}
	}
}

// TestIdleSlotIsMadeAgain: PostgreSQL 18 can take a slot away that nobody reads,
// whose log is still there.
func TestIdleSlotIsMadeAgain(t *testing.T) {
	if !since(t, 18) {
		return
	}
	p := testbed.NewPostgres(t, nil)
	c := newClient(t, p.URL("postgres"))
	if err := p.Set(t.Context(), "idle_replication_slot_timeout", "1s"); err != nil {
		t.Fatal(err)
	}
	c.exec(rooms)
	cfg := config(t, p.URL("postgres"), watchRooms())
	first := listen(t, cfg)
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the slot is taken away", func() bool {
		c.exec("CHECKPOINT")
		return c.text("SELECT wal_status || ' ' || invalidation_reason FROM pg_replication_slots") == "lost idle_timeout"
	})
	s, err := findSlot(t.Context(), c.conn, cfg.Slot)
	if err != nil || !strings.Contains(s.whyLost(), "idle_replication_slot_timeout") {
		t.Errorf("%+v, %v", s, err)
	}
	second := listen(t, cfg)
	second.expectEpochs("start")
	second.expect(sql("INSERT INTO rooms VALUES (100)"), "insert rooms: id=100 city=null price=null")
}

// standbyWithSlots starts a standby that keeps copies of p's failover slots.
func standbyWithSlots(t *testing.T, p *testbed.Postgres) *testbed.Postgres {
	t.Helper()
	newClient(t, p.URL("postgres")).exec("SELECT pg_create_physical_replication_slot('standby', true)")
	s := testbed.NewStandby(t, p)
	for _, setting := range [][2]string{
		{"primary_conninfo", "host=127.0.0.1 user=postgres dbname=postgres port=" + strconv.Itoa(p.Port())},
		{"primary_slot_name", "standby"},
		{"hot_standby_feedback", "on"},
		{"sync_replication_slots", "on"},
	} {
		if err := s.Set(t.Context(), setting[0], setting[1]); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// TestFailoverKeepsTheSlot: since PostgreSQL 17 a standby can have a copy of the
// slot, and the log from the failover on is kept for it.
func TestFailoverKeepsTheSlot(t *testing.T) {
	if !since(t, 17) {
		return
	}
	p := testbed.NewPostgres(t, nil)
	c := newClient(t, p.URL("postgres"))
	c.exec(rooms)
	way := &switchboard{t: t, target: p.URL("postgres")}
	r := listen(t, config(t, way.url(), watchRooms()))
	if got := c.text("SELECT failover FROM pg_replication_slots"); got != "t" {
		t.Fatalf("the slot is made with failover=%s", got)
	}
	s := standbyWithSlots(t, p)
	copied := newClient(t, s.URL("postgres"))
	id := 0
	eventually(t, "the standby has a copy of the slot", func() bool {
		id++
		c.exec("INSERT INTO rooms VALUES (" + strconv.Itoa(id) + ")")
		return copied.text("SELECT synced AND NOT temporary FROM pg_replication_slots WHERE slot_name = '"+r.cfg.Slot+"'") == "t"
	})
	r.caughtUp()
	if err := p.Stop("fast"); err != nil {
		t.Fatal(err)
	}
	if err := s.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	copied.exec("INSERT INTO rooms VALUES (-1)") // before the proxy is there
	way.lead(s.URL("postgres"))
	eventually(t, "a new epoch", func() bool { return len(r.epochs()) >= 2 })
	r.expectEpochs("start", "timeline")
	r.client = copied
	r.proven()
	r.expect(sql("INSERT INTO rooms VALUES (-2)"), "insert rooms: id=-2 city=null price=null")
	if got := copied.text("SELECT synced FROM pg_replication_slots WHERE active"); got != "t" {
		t.Errorf("it does not read the copy: synced=%s", got)
	}
}

// TestReadAheadGoesBeyondAStandby: since PostgreSQL 17 the stream can be made to
// wait for a standby. The physical log does not wait.
func TestReadAheadGoesBeyondAStandby(t *testing.T) {
	if !since(t, 17) {
		return
	}
	p := testbed.NewPostgres(t, nil)
	c := newClient(t, p.URL("postgres"))
	c.exec("SELECT pg_create_physical_replication_slot('away', true)")
	r := listenAhead(t, p.URL("postgres"))
	r.settledCatalogue()
	if err := p.Set(t.Context(), "synchronized_standby_slots", "away"); err != nil {
		t.Fatal(err)
	}
	r.exec("INSERT INTO houses VALUES (1)")
	eventually(t, "the proof is old", func() bool { return r.cfg.Now()-r.guard.Proven() > coherence.Nanos(3*r.cfg.MaxLag) })
	r.exec(lots, "INSERT INTO houses VALUES (2)")
	r.ahead(true)
	r.proven()
	r.caughtUp()
	r.exec("SELECT pg_replication_slot_advance('away', pg_current_wal_flush_lsn())")
	if err := p.Set(t.Context(), "synchronized_standby_slots", ""); err != nil {
		t.Fatal(err)
	}
	r.ahead(false)
	r.expect(sql("INSERT INTO houses VALUES (3)"), "insert houses: id=3")
	r.expectEpochs("start")
}

// TestTransactionTimeoutSparesTheStream: since PostgreSQL 17 a server can bound how
// long transactions take, and its walsender is in one while it sends.
func TestTransactionTimeoutSparesTheStream(t *testing.T) {
	if !since(t, 17) {
		return
	}
	p := testbed.NewPostgres(t, nil)
	if err := p.Set(t.Context(), "transaction_timeout", "300ms"); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, p.URL("postgres"))
	c.exec("SET transaction_timeout = 0", rooms)
	way := &switchboard{t: t, target: p.URL("postgres")}
	r := listen(t, config(t, way.url(), watchRooms()))
	way.freeze(true)
	c.exec("INSERT INTO rooms SELECT g, repeat('x', 50000) FROM generate_series(1, 900) g")
	const sender = "SELECT pid FROM pg_stat_replication"
	pid := c.text(sender)
	eventually(t, "the walsender waits inside a transaction, or was ended", func() bool {
		return c.text("SELECT wait_event FROM pg_stat_activity WHERE pid = "+pid) == "WalSenderWriteData" || c.text(sender) != pid
	})
	later := newClient(t, p.URL("postgres"))
	later.exec("BEGIN")
	eventually(t, "a transaction that began later is ended", func() bool {
		return c.text("SELECT count(*) FROM pg_stat_activity WHERE pid = "+strconv.Itoa(int(later.conn.PgConn().PID()))) == "0"
	})
	way.freeze(false)
	r.exec("INSERT INTO rooms VALUES (-1)")
	r.caughtUp()
	if now := c.text(sender); now != pid {
		t.Errorf("the walsender %s was ended; now there is %s", pid, now)
	}
	r.expectEpochs("start")
}

// TestStandbyIsRefused: what is visible there says nothing of the primary, although
// since PostgreSQL 16 a standby can decode its log.
func TestStandbyIsRefused(t *testing.T) {
	s := testbed.NewStandby(t, testbed.Server(t))
	if got := refused(t, config(t, s.URL("postgres"), watchRooms())); !slices.Equal(got, []string{"the server is a standby; use the URL of the primary"}) {
		t.Errorf("refused %q", got)
	}
}
