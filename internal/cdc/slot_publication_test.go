package cdc

import (
	"slices"
	"strings"
	"testing"

	"walpurge/dev/testbed"
)

// TestPublicationThatWasAway: before PostgreSQL 18 a slot can't be read on where
// the log has a change from when its publication was not there. It is made
// anew, once.
func TestPublicationThatWasAway(t *testing.T) {
	for _, test := range []struct {
		name       string
		statements []string
	}{
		{"dropped", sql("DROP PUBLICATION walpurge", "UPDATE rooms SET city = 'x'")},
		{"renamed", sql("ALTER PUBLICATION walpurge RENAME TO away", "UPDATE rooms SET city = 'x'", "ALTER PUBLICATION away RENAME TO walpurge")},
	} {
		t.Run(test.name, func(t *testing.T) {
			url := testbed.Database(t)
			newClient(t, url).exec(rooms, `INSERT INTO rooms VALUES (1)`)
			r := listen(t, config(t, url, watchRooms()))
			r.exec(strings.Join(test.statements, ";"))
			eventually(t, "an epoch", func() bool { return len(r.epochs()) > 1 })
			eventually(t, "a proof", func() bool { return r.listener.Status().Connected })
			r.proven()
			r.expect(sql("INSERT INTO rooms VALUES (2)"), "insert rooms: id=2 city=null price=null")
			want := r.major() < 18
			if got := slices.Contains(r.epochs(), "publication"); got != want {
				t.Errorf("epochs %q", r.epochs())
			}
			if s := r.listener.Status(); !s.Connected {
				t.Errorf("status %+v", s)
			}
		})
	}
}

// TestSetupKnowsAStuckSlot: check says it, setup mends it, and neither takes a
// slot for stuck that isn't, or that somebody holds.
func TestSetupKnowsAStuckSlot(t *testing.T) {
	url := testbed.Database(t)
	c := newClient(t, url)
	c.exec(rooms, `INSERT INTO rooms VALUES (1)`)
	cfg := config(t, url, watchRooms())
	if _, err := Setup(t.Context(), cfg, false); err != nil {
		t.Fatal(err)
	}
	expect := func(what string, stuck bool, want ...string) {
		t.Helper()
		said, err := StuckSlot(t.Context(), cfg)
		if err != nil || (said != "") != stuck || stuck && (!strings.HasPrefix(said, "slot "+cfg.Slot+" can't be read on: ") || !strings.Contains(said, "`proxy setup`")) {
			t.Errorf("%s: %q, %v", what, said, err)
		}
		printed, err := Setup(t.Context(), cfg, true)
		if err != nil || !slices.Equal(inOneGo(printed), want) {
			t.Errorf("%s: printed %q, %v\nwant %q", what, printed, err, want)
		}
	}
	expect("just set up", false)
	remake := c.text("SELECT 'CREATE PUBLICATION walpurge FOR TABLE public.rooms WITH (publish = ''insert, update, delete, truncate'', publish_via_partition_root = true" + c.moreOptions() + ")'")
	c.exec("UPDATE rooms SET city = 'x'", "DROP PUBLICATION walpurge", remake, "UPDATE rooms SET city = 'y'")
	expect("nothing written between", false)
	before := c.text("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '" + cfg.Slot + "'")
	c.exec("DROP PUBLICATION walpurge", "UPDATE rooms SET city = 'z'")
	again := []string{"SELECT pg_drop_replication_slot('" + cfg.Slot + "')", c.slotStatement(cfg.Slot)}
	forgiving := c.major() >= 18
	if forgiving {
		again = nil
	}
	expect("away", !forgiving, append([]string{remake}, again...)...)
	c.exec(remake)
	expect("there again", !forgiving, again...)
	if now := c.text("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '" + cfg.Slot + "'"); now != before {
		t.Errorf("the slot was moved from %s to %s", before, now)
	}
	// Whoever holds it looks after it.
	r := start(t, cfg)
	r.proven()
	expect("held", false)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	expect("made again by the one that reads it", false)
	c.exec("DROP PUBLICATION walpurge", "UPDATE rooms SET city = 'z'")
	if done, err := Setup(t.Context(), cfg, false); err != nil || !slices.Equal(done, append([]string{remake}, again...)) {
		t.Errorf("setup did %q, %v", done, err)
	}
	expect("set up again", false)
	r = listen(t, cfg)
	r.expect(sql("INSERT INTO rooms VALUES (7)"), "insert rooms: id=7 city=null price=null")
}

// TestOwnerMakesThePublicationAgain: a role that can't is told, and goes on by
// itself afterwards; no other slot is touched.
func TestOwnerMakesThePublicationAgain(t *testing.T) {
	url := testbed.Database(t)
	c := newClient(t, url)
	c.exec(rooms, `INSERT INTO rooms VALUES (1)`, `CREATE ROLE onlooker LOGIN REPLICATION`)
	t.Cleanup(func() { c.exec("DROP ROLE onlooker") })
	cfg := config(t, url, watchRooms())
	done, err := Setup(t.Context(), cfg, false)
	if err != nil {
		t.Fatal(err)
	}
	c.exec("SELECT pg_create_logical_replication_slot('another_" + cfg.Slot[:30] + "', 'test_decoding')")
	cfg.URL = strings.Replace(url, "postgres@", "onlooker@", 1)
	r := listen(t, cfg)
	r.client = c
	c.exec("DROP PUBLICATION walpurge; UPDATE rooms SET city = 'x'")
	eventually(t, "the refusal", func() bool { return strings.Contains(r.listener.Status().LastError, "may not create it") })
	if got := r.guard.Proven(); got != 0 {
		t.Errorf("proven at %d", got)
	}
	c.exec(done[slices.IndexFunc(done, func(s string) bool { return strings.HasPrefix(s, "CREATE PUBLICATION") })])
	r.proven()
	r.expect(sql("INSERT INTO rooms VALUES (2)"), "insert rooms: id=2 city=null price=null")
	if got := leavings(c); got != "1 publications, 2 slots" {
		t.Errorf("there are %s", got)
	}
}

// TestPublicationThatWasAwayForAFleet: whoever leads makes the slot again, and
// the others follow.
func TestPublicationThatWasAwayForAFleet(t *testing.T) {
	f, leader, followers := led(t, 1)
	f.exec("DROP PUBLICATION walpurge; INSERT INTO listings VALUES (1, 'Lagos', 10, NULL)")
	all := append(followers, leader)
	for _, r := range all {
		eventually(t, "another epoch", func() bool { return len(r.epochs()) > 1 })
		r.proven()
	}
	f.exec("INSERT INTO listings VALUES (2, 'Lagos', 10, NULL)")
	f.agree(all...)
	for _, r := range all {
		if want := f.major() < 18; slices.Contains(r.epochs(), "publication") != want {
			t.Errorf("epochs %q", r.epochs())
		}
	}
}

// TestAlteringWhatAPublicationForbids: out of the publication and back in one
// transaction is an epoch, and nothing more.
func TestAlteringWhatAPublicationForbids(t *testing.T) {
	if !since(t, 18) {
		return
	}
	url := testbed.Database(t)
	newClient(t, url).exec(rooms, "ALTER TABLE rooms ADD size int GENERATED ALWAYS AS (id + 1)")
	r := listen(t, config(t, url, watchRooms()))
	const alter = "ALTER TABLE rooms ALTER size SET EXPRESSION AS (id + 2)"
	if _, err := r.conn.Exec(t.Context(), alter); err == nil || !strings.Contains(err.Error(), "tables that are part of a publication") {
		t.Errorf("%s: %v", alter, err)
	}
	r.exec("BEGIN; ALTER PUBLICATION walpurge DROP TABLE rooms; " + alter + "; ALTER PUBLICATION walpurge ADD TABLE rooms; COMMIT")
	eventually(t, "an epoch", func() bool { return len(r.epochs()) > 1 })
	r.proven()
	r.expect(sql("INSERT INTO rooms (id) VALUES (2)"), "insert rooms: id=2 city=null price=null")
}
