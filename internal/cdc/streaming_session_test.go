package cdc

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"walpurge/internal/coherence"

	"walpurge/dev/testbed"
)

// smallPieces is the smallest logical_decoding_work_mem: what some hundred rows
// change is streamed while it is open.
const smallPieces = "64kB"

// eager is a server that streams early, with as many databases as wanted.
type eager struct {
	t    *testing.T
	p    *testbed.Postgres
	made atomic.Int32
}

func newEager(t *testing.T) *eager {
	t.Helper()
	return &eager{t: t, p: testbed.NewPostgres(t, map[string]string{"logical_decoding_work_mem": smallPieces})}
}

// database makes an empty database; it goes with the server.
func (e *eager) database() string {
	e.t.Helper()
	name := fmt.Sprintf("d%d", e.made.Add(1))
	newClient(e.t, e.p.URL("postgres")).exec("CREATE DATABASE " + name)
	return e.p.URL(name)
}

// listen starts a listener on a database with rooms and more than is watched.
func (e *eager) listen(t *testing.T) *rig {
	t.Helper()
	url := e.database()
	newClient(t, url).exec(rooms, `ALTER TABLE rooms REPLICA IDENTITY FULL`,
		`CREATE TABLE other (id int, note text)`, `CREATE PUBLICATION walpurge FOR TABLE rooms, other WITH (publish_via_partition_root = true)`)
	cfg := config(t, url, watchRooms())
	cfg.BulkRows = 10_000
	return listen(t, cfg)
}

// padding is enough to be streamed on its own; nobody watches it.
const padding = "INSERT INTO other SELECT g, repeat(g::text, 200) FROM generate_series(100, 300) g"

// insertRooms inserts rooms from first to last.
func insertRooms(first, last int) string {
	return fmt.Sprintf("INSERT INTO rooms SELECT g, repeat('x', 300), 'c' || g, g FROM generate_series(%d, %d) g", first, last)
}

func inserted(first, last int) []string {
	var lines []string
	for i := first; i <= last; i++ {
		n := strconv.Itoa(i)
		lines = append(lines, "insert rooms: id="+n+" city=c"+n+" price="+n)
	}
	return lines
}

// open waits until n transactions are streamed and not at their end.
func (r *rig) open(n int) {
	r.t.Helper()
	eventually(r.t, fmt.Sprintf("%d transactions are open", n), func() bool { return r.listener.Status().Open == n })
}

// received waits until everything written so far has been received.
func (r *rig) received() {
	r.t.Helper()
	r.exec("SELECT pg_logical_emit_message(true, 'nobody', '')") // flushes
	at := r.flushed()
	eventually(r.t, "received up to "+at.String(), func() bool { return r.guard.Applied() >= at })
}

func (r *rig) expectLines(want []string) {
	r.t.Helper()
	r.caughtUp()
	if got := r.lines(); !slices.Equal(got, want) {
		r.t.Errorf("got %d lines\n%s\nwant %d\n%s", len(got), strings.Join(got, "\n"), len(want), strings.Join(want, "\n"))
	}
}

func TestStreaming(t *testing.T) {
	e := newEager(t)
	for _, test := range []struct {
		name string
		run  func(*testing.T, *eager)
	}{
		{"committed", streamedCommit},
		{"rolled back", streamedAbort},
		{"interleaved", streamedInterleaved},
		{"connection breaks", streamedBreaks},
		{"altered", streamedAlteration},
		{"prepared", streamedPrepared},
		{"above bulk rows", streamedBulk},
		{"killed", streamedKilled},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, e) })
	}
}

// Savepoints, TRUNCATE and messages inside; the proof of freshness and the
// watermark go on while it is open, and nothing of it is seen before its end.
func streamedCommit(t *testing.T, e *eager) {
	r := e.listen(t)
	w := newClient(t, r.url)
	w.exec("BEGIN", insertRooms(1, 300), "SAVEPOINT a", insertRooms(301, 600), "ROLLBACK TO a",
		"SELECT pg_logical_emit_message(true, 'walpurge', 'g1 g2')", "SELECT pg_logical_emit_message(false, 'walpurge', 'never')",
		"SAVEPOINT b", insertRooms(601, 900), "RELEASE b", padding)
	r.open(1)
	r.received()
	r.proven()
	if at := r.flushed(); len(r.lines()) != 0 || r.guard.Pending() != 0 || r.listener.Status().Open != 1 {
		t.Errorf("while it is open at %s: %d lines, status %+v", at, len(r.lines()), r.listener.Status())
	}
	before := r.guard.Watermark()
	r.received()
	eventually(t, "the watermark rises", func() bool { return r.guard.Watermark() > before })
	acknowledged := r.confirmed()
	eventually(t, "the slot is acknowledged", func() bool { return r.confirmed() > acknowledged })
	w.exec("COMMIT")
	r.caughtUp()
	r.open(0)
	// The savepoint that was rolled back may be among it (G5), nothing may be missing.
	rolledBack := inserted(301, 600)
	got := slices.DeleteFunc(r.lines(), func(line string) bool { return slices.Contains(rolledBack, line) })
	if want := append([]string{"group g1", "group g2"}, append(inserted(1, 300), inserted(601, 900)...)...); !slices.Equal(got, want) {
		t.Errorf("got %d lines: %.2000s", len(got), strings.Join(got, "\n"))
	}
	seen := len(r.lines())
	w.exec("BEGIN", "DELETE FROM rooms WHERE id <= 200", "TRUNCATE rooms", padding, "COMMIT")
	r.caughtUp()
	if got := r.lines()[seen:]; len(got) == 0 || got[0] != "whole public.rooms" {
		t.Errorf("after a TRUNCATE: %.500q", got)
	}
	r.expectEpochs("start")
}

// What is rolled back purges nothing.
func streamedAbort(t *testing.T, e *eager) {
	r := e.listen(t)
	r.exec(insertRooms(1, 1))
	r.caughtUp()
	page := r.cacheRooms()
	w := newClient(t, r.url)
	for range 3 {
		w.exec("BEGIN", "UPDATE rooms SET price = price + 1", insertRooms(2, 500), "SELECT pg_logical_emit_message(true, 'walpurge', 'g')", "SAVEPOINT s",
			insertRooms(501, 900), "TRUNCATE rooms", padding)
		r.open(1)
		w.exec("ROLLBACK")
		r.open(0)
		r.received()
	}
	r.expectLines(inserted(1, 1))
	if !page.handle.Live() {
		t.Error("a transaction that was rolled back has purged a page")
	}
	r.exec("BEGIN", "UPDATE rooms SET price = 5", padding, "COMMIT")
	r.caughtUp()
	if page.handle.Live() {
		t.Error("a transaction that has committed has purged nothing")
	}
	r.expectEpochs("start")
}

// Three at once, and short ones between; they end in another order than they
// began.
func streamedInterleaved(t *testing.T, e *eager) {
	r := e.listen(t)
	ws := []*client{newClient(t, r.url), newClient(t, r.url), newClient(t, r.url)}
	var parts [3][]string
	for i, w := range ws {
		w.exec("BEGIN")
		parts[i] = nil
	}
	for round := range 3 {
		for i, w := range ws {
			first := 10_000*(i+1) + 1000*round
			w.exec(insertRooms(first, first+300), padding)
			parts[i] = append(parts[i], inserted(first, first+300)...)
		}
		r.open(3)
		r.exec(insertRooms(round, round))
	}
	want := append(inserted(0, 2), parts[1]...)
	ws[1].exec("COMMIT")
	r.open(2)
	ws[2].exec("ROLLBACK")
	r.open(1)
	ws[0].exec("COMMIT")
	r.open(0)
	r.expectLines(append(want, parts[0]...))
	r.expectEpochs("start")
}

// The connection breaks in the middle: all of it comes again, and counts once.
func streamedBreaks(t *testing.T, e *eager) {
	r := e.listen(t)
	w := newClient(t, r.url)
	w.exec("BEGIN", insertRooms(1, 300), padding)
	r.open(1)
	r.exec(insertRooms(5000, 5000))
	r.caughtUp()
	for round := range 3 {
		sessions := r.listener.Status().Sessions
		r.cutOff()
		eventually(t, "another session", func() bool { return r.listener.Status().Sessions > sessions })
		// The server streams what it has read again once there is more.
		w.exec(insertRooms(100*round+301, 100*round+400), padding)
		r.open(1)
	}
	w.exec(insertRooms(601, 700), padding)
	r.cutOff()
	w.exec("COMMIT")
	r.expectLines(append(inserted(5000, 5000), inserted(1, 700)...))
	r.open(0)
	// Cut off with a transaction that then is rolled back.
	w.exec("BEGIN", insertRooms(701, 900), padding)
	r.open(1)
	r.cutOff()
	w.exec("ROLLBACK")
	r.received()
	r.expectLines(append(inserted(5000, 5000), inserted(1, 700)...))
	r.open(0)
	r.expectEpochs("start")
}

// A table that is altered inside, rolled back and then for good.
func streamedAlteration(t *testing.T, e *eager) {
	r := e.listen(t)
	w := newClient(t, r.url)
	w.exec("BEGIN", insertRooms(1, 300), "ALTER TABLE rooms ADD COLUMN more int", insertRooms(301, 600), padding)
	r.open(1)
	w.exec("ROLLBACK")
	r.exec(insertRooms(1, 2))
	r.expectLines(inserted(1, 2))
	r.expectEpochs("start")
	w.exec("BEGIN", insertRooms(11, 300), "ALTER TABLE rooms ADD COLUMN more int", insertRooms(301, 600), padding)
	r.open(1)
	w.exec("COMMIT")
	r.afterwards()
	before := len(r.lines())
	r.exec(insertRooms(1001, 1001))
	r.caughtUp()
	r.expectEpochs("start")
	got := r.lines()
	if !slices.Contains(got[:before], "whole public.rooms") || got[len(got)-1] != inserted(1001, 1001)[0] {
		t.Errorf("got %.500q … %q", got, got[len(got)-1])
	}
}

// Prepared, held, and committed in another session.
func streamedPrepared(t *testing.T, e *eager) {
	r := e.listen(t)
	w := newClient(t, r.url)
	w.exec("BEGIN", insertRooms(1, 300), padding, "PREPARE TRANSACTION 'p'")
	r.open(1)
	r.received()
	if len(r.lines()) != 0 {
		t.Errorf("a prepared transaction counts: %q", r.lines())
	}
	r.exec("COMMIT PREPARED 'p'")
	r.expectLines(inserted(1, 300))
	w.exec("BEGIN", insertRooms(301, 600), padding, "PREPARE TRANSACTION 'p'")
	r.open(1)
	r.exec("ROLLBACK PREPARED 'p'")
	r.open(0)
	r.expectLines(inserted(1, 300))
	r.expectEpochs("start")
}

// Above bulk rows only the table is remembered.
func streamedBulk(t *testing.T, e *eager) {
	r := e.listen(t)
	r.exec("BEGIN", insertRooms(1, 10_001), "COMMIT")
	r.expectLines([]string{"whole public.rooms"})
	r.notes.mu.Lock()
	defer r.notes.mu.Unlock()
	if r.notes.rows != 10_001 {
		t.Errorf("%d rows are counted", r.notes.rows)
	}
}

// A session that is killed rolls back.
func streamedKilled(t *testing.T, e *eager) {
	r := e.listen(t)
	w := newClient(t, r.url)
	w.exec("BEGIN", insertRooms(1, 300), padding)
	r.open(1)
	r.exec("SELECT pg_terminate_backend(" + w.text("SELECT pg_backend_pid()") + ", 10000)")
	r.open(0)
	r.received()
	r.exec(insertRooms(7, 7))
	r.expectLines(inserted(7, 7))
	r.expectEpochs("start")
}

// cacheRooms stores a page that depends on all rooms.
func (r *rig) cacheRooms() *cachedPage {
	r.t.Helper()
	table, _ := r.guard.Table("public.rooms")
	p := &cachedPage{causes: make(chan coherence.Cause, 1)}
	deps := r.guard.Bind(&coherence.Template{Table: table}, nil, nil)
	if !r.guard.Open(&p.handle, p, deps) || !r.guard.Admit(&p.handle, p) {
		r.t.Fatal("the page is not admitted")
	}
	return p
}
