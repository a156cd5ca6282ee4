package cdc

import (
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"walpurge/dev/testbed"
	"walpurge/internal/cdc/catalogue"
	"walpurge/internal/coherence"
)

// freeze stops the walsender of the rig's slot. What it returns lets it go on.
func (r *rig) freeze() func() {
	r.t.Helper()
	pid, err := strconv.Atoi(r.text("SELECT active_pid FROM pg_replication_slots WHERE slot_name = '" + r.listener.Status().Slot + "'"))
	if err != nil {
		r.t.Fatal(err)
	}
	send := func(signal syscall.Signal) {
		if err := syscall.Kill(pid, signal); err != nil {
			r.t.Errorf("signal the walsender: %v", err)
		}
	}
	send(syscall.SIGSTOP)
	frozen := true
	thaw := func() {
		if frozen {
			frozen = false
			send(syscall.SIGCONT)
		}
	}
	r.t.Cleanup(thaw)
	return thaw
}

// lots writes so much that the stream counts as behind.
const lots = "SELECT pg_logical_emit_message(false, 'lots', repeat('x', 1500000))"

// listenAhead starts a listener that watches rooms and houses, and a table in
// parts, beside tables that nobody watches.
func listenAhead(t *testing.T, url string, change ...func(*Config)) *rig {
	t.Helper()
	newClient(t, url).exec(rooms, `ALTER TABLE rooms REPLICA IDENTITY FULL`, `CREATE TABLE houses (id int PRIMARY KEY, note text)`,
		`CREATE TABLE parts (id int PRIMARY KEY, n int) PARTITION BY RANGE (id)`, `CREATE TABLE low PARTITION OF parts FOR VALUES FROM (0) TO (500)`,
		`CREATE TABLE other (id int PRIMARY KEY, note text)`, `CREATE MATERIALIZED VIEW seen AS SELECT * FROM other`)
	cfg := config(t, url, watchRooms(), catalogue.Watch{Table: "public.houses", Columns: []string{"id"}, Conditions: []string{"id"}},
		catalogue.Watch{Table: "public.parts", Columns: []string{"id"}, Conditions: []string{"id"}})
	cfg.ReadAhead = catalogue.DefaultReadAhead
	for _, c := range change {
		c(&cfg)
	}
	return listen(t, cfg)
}

// ahead waits until the log is read ahead, or no longer.
func (r *rig) ahead(want bool) {
	r.t.Helper()
	eventually(r.t, "the log is read ahead: "+strconv.FormatBool(want), func() bool { return r.listener.Status().ReadAhead == want })
}

// cacheTable stores a page that depends on a whole table.
func (r *rig) cacheTable(name string) *cachedPage {
	r.t.Helper()
	table, ok := r.guard.Table("public." + name)
	p := &cachedPage{causes: make(chan coherence.Cause, 1)}
	deps := r.guard.Bind(&coherence.Template{Table: table}, nil, nil)
	if !ok || !r.guard.Open(&p.handle, p, deps) || !r.guard.Admit(&p.handle, p) {
		r.t.Fatalf("the page of %s is not admitted", name)
	}
	return p
}

// TestReadAheadWhileTheStreamStands stops the server's walsender in the middle
// of everything.
func TestReadAheadWhileTheStreamStands(t *testing.T) {
	r := listenAhead(t, testbed.Database(t))
	r.settledCatalogue()
	r.exec("INSERT INTO rooms VALUES (1, 'x', 'Lagos', 10)", "INSERT INTO houses VALUES (1)")
	r.caughtUp()
	before := len(r.lines())
	open := newClient(t, r.url)
	open.exec("BEGIN", "INSERT INTO houses VALUES (2)", "SAVEPOINT a", "INSERT INTO rooms VALUES (2)", "ROLLBACK TO a")
	r.caughtUp()
	page, house, part := r.cacheTable("rooms"), r.cacheTable("houses"), r.cacheTable("parts")
	acknowledged := r.confirmed()

	thaw := r.freeze()
	r.exec("BEGIN", "UPDATE rooms SET price = 11", "SAVEPOINT a", "INSERT INTO houses VALUES (3)", "ROLLBACK TO a", "INSERT INTO other VALUES (1)", "COMMIT")
	r.exec("INSERT INTO other SELECT g, repeat('y', 5000) FROM generate_series(10, 20) g", "REFRESH MATERIALIZED VIEW seen")
	r.exec(lots, "SELECT pg_current_xact_id()") // last, so that the view's new file is known when it is asked for
	eventually(t, "the page is gone", func() bool { return !page.handle.Live() })
	r.ahead(true)
	r.proven()
	r.proven()
	page = r.cacheTable("rooms")
	if !house.handle.Live() || !part.handle.Live() {
		t.Error("pages of other tables are gone")
	}
	r.exec("INSERT INTO parts VALUES (7)", "SELECT pg_logical_emit_message(true, 'walpurge', 'g1 g2')", "SELECT pg_logical_emit_message(true, 'other', 'g3')")
	r.caughtUp()
	if part.handle.Live() || !house.handle.Live() || !page.handle.Live() {
		t.Errorf("alive: the part's page %t, the house's %t, the room's %t", part.handle.Live(), house.handle.Live(), page.handle.Live())
	}
	open.exec("COMMIT")
	r.caughtUp()
	want := sql("whole public.rooms", "whole public.parts", "group g1", "group g2", "whole public.houses")
	if got := r.lines()[before:]; !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if n := r.listener.Status().ReadAheadTransactions; n != 4 {
		t.Errorf("%d transactions were read ahead", n)
	}

	// What the stream says later it has said already.
	thaw()
	r.ahead(false)
	eventually(t, "the slot is acknowledged", func() bool { return r.confirmed() > acknowledged })
	r.expect(sql("INSERT INTO rooms VALUES (5)"), "insert rooms: id=5 city=null price=null")
	if got := r.lines()[before:]; len(got) != len(want)+1 {
		t.Errorf("something came twice: %q", got)
	}
	r.expectEpochs("start")
}

// settledCatalogue waits until what was created before counts as old.
func (r *rig) settledCatalogue() {
	r.t.Helper()
	id, err := strconv.ParseUint(r.text("SELECT pg_current_xact_id()"), 10, 32)
	if err != nil {
		r.t.Fatal(err)
	}
	eventually(r.t, "the catalogue has settled", func() bool {
		r.exec("SELECT pg_logical_emit_message(true, 'nobody', '')")
		return uint64(r.listener.readAhead.Baseline.Xmin(r.guard.Applied())) > id
	})
}

// TestReadAheadOverMatches looks at what can't be told apart: then it is every
// table.
func TestReadAheadOverMatches(t *testing.T) {
	url := testbed.Database(t)
	r := listenAhead(t, url)
	for _, statements := range [][]string{
		sql("TRUNCATE other"),
		sql("BEGIN", "CREATE TABLE fresh AS SELECT 1 AS id", "COMMIT"),
		sql("ALTER TABLE other ADD COLUMN more int", "INSERT INTO other VALUES (1)"),
		sql("INSERT INTO other VALUES (2)", "DROP TABLE other CASCADE"),
	} {
		r.settledCatalogue()
		house := r.cacheTable("houses")
		thaw := r.freeze()
		r.exec(statements...)
		r.exec(lots, "SELECT pg_current_xact_id()")
		eventually(t, "the page is gone", func() bool { return !house.handle.Live() })
		thaw()
		r.ahead(false)
	}
	r.expectEpochs("start")
}

// TestReadAheadGoesOnAfterABreak ends the physical connection again and again.
func TestReadAheadGoesOnAfterABreak(t *testing.T) {
	r := listenAhead(t, testbed.Database(t))
	r.settledCatalogue()
	thaw := r.freeze()
	for range 3 {
		page := r.cacheTable("rooms")
		r.exec("INSERT INTO rooms SELECT 1 + coalesce(max(id), 0) FROM rooms", lots, "SELECT pg_current_xact_id()")
		eventually(t, "the page is gone", func() bool { return !page.handle.Live() })
		r.caughtUp()
		r.exec(`SELECT pg_terminate_backend(s.pid, 10000) FROM pg_stat_activity s JOIN pg_replication_slots l ON l.active_pid <> s.pid
 WHERE s.query LIKE 'START_REPLICATION PHYSICAL%' AND l.slot_name = '` + r.cfg.Slot + `'`)
	}
	thaw()
	r.ahead(false)
	if got := strings.Join(r.lines(), ", "); got != "whole public.rooms, whole public.rooms, whole public.rooms" {
		t.Errorf("got %q", got)
	}
	r.expectEpochs("start")
}

// TestStreamBreaksWhileTheLogIsReadAhead: the next stream begins after what has
// been applied, and nothing is lost or comes twice.
func TestStreamBreaksWhileTheLogIsReadAhead(t *testing.T) {
	r := listenAhead(t, testbed.Database(t))
	r.settledCatalogue()
	open := newClient(t, r.url)
	open.exec("BEGIN", "INSERT INTO houses VALUES (1)")
	r.caughtUp()
	thaw := r.freeze()
	r.exec("INSERT INTO rooms VALUES (1)", lots, "SELECT pg_current_xact_id()")
	r.ahead(true)
	r.caughtUp()
	r.exec("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '" + r.cfg.Slot + "'")
	thaw()
	eventually(t, "another session runs", func() bool { s := r.listener.Status(); return s.Sessions == 2 && s.Connected })
	open.exec("COMMIT")
	r.exec("INSERT INTO rooms VALUES (2)")
	r.caughtUp()
	want := sql("whole public.rooms", "insert houses: id=1", "insert rooms: id=2 city=null price=null")
	if got := r.lines(); !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	r.expectEpochs("start")
}

// TestReadAheadIsRefused: without a walsender to spare it is as it was.
func TestReadAheadIsRefused(t *testing.T) {
	p := testbed.NewPostgres(t, map[string]string{"max_wal_senders": "1"})
	book := &logbook{}
	r := listenAhead(t, p.URL("postgres"), func(c *Config) { c.Logger = book.logger() })
	page := r.cacheTable("rooms")
	thaw := r.freeze()
	r.exec("INSERT INTO rooms VALUES (1)", lots, "SELECT pg_current_xact_id()")
	eventually(t, "it is said", func() bool { return strings.Contains(r.listener.Status().LastError, "max_wal_senders") })
	since := r.listener.Status().LastErrorAt
	eventually(t, "it is tried again", func() bool { return r.listener.Status().LastErrorAt.After(since) })
	if !page.handle.Live() {
		t.Error("the page is gone")
	}
	thaw()
	r.caughtUp()
	r.proven()
	if !slices.Equal(r.lines(), sql("insert rooms: id=1 city=null price=null")) {
		t.Errorf("got %q", r.lines())
	}
	if n := book.count("a connection beside the stream failed"); n != 1 {
		t.Errorf("%d warnings", n)
	}
}

// TestShutdownWhileReadingAhead: the server waits for both of its walsenders.
func TestShutdownWhileReadingAhead(t *testing.T) {
	p := testbed.NewPostgres(t, nil)
	r := listenAhead(t, p.URL("postgres"), func(c *Config) { c.ReadAhead = -1 })
	r.ahead(true)
	r.exec("INSERT INTO rooms VALUES (1)", lots)
	state := r.text("SELECT string_agg(sync_state || ' ' || coalesce(flush_lsn::text, '-'), ', ') FROM pg_stat_replication WHERE pid NOT IN (SELECT active_pid FROM pg_replication_slots)")
	if state != "async -" {
		t.Errorf("the server sees us as %q", state)
	}
	began := time.Now()
	if err := p.Stop("fast"); err != nil {
		t.Fatal(err)
	}
	t.Logf("the server has stopped after %v", time.Since(began))
}
