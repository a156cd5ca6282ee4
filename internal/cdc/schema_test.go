package cdc

import (
	"strings"
	"testing"

	"walpurge/internal/testbed"
)

func TestAlterTableWhileRunning(t *testing.T) {
	url := testbed.Database(t)
	newClient(t, url).exec(rooms)
	r := listen(t, config(t, url, watchRooms()))
	r.expect(sql("INSERT INTO rooms VALUES (1)"), "insert rooms: id=1 city=null price=null")
	// The change right after the DDL comes with a Relation message that doesn't
	// fit.
	r.exec("ALTER TABLE rooms ADD COLUMN more int; UPDATE rooms SET city = 'x'")
	eventually(t, "the table counts as a whole", func() bool { return len(r.lines()) >= 2 })
	if got := r.lines()[1]; got != "whole public.rooms" && !strings.HasPrefix(got, "update rooms: id=1") {
		t.Errorf("got %q", got)
	}
	eventually(t, "a new epoch", func() bool { return len(r.epochs()) == 2 })
	if got := r.epochs()[1]; got != "schema" && got != "catalogue" {
		t.Errorf("the reason is %s", got)
	}
	r.proven()
	r.expect(sql("INSERT INTO rooms VALUES (2)"), "insert rooms: id=2 city=null price=null")
}

func TestDDLWithoutARowIsNoticed(t *testing.T) {
	for name, ddl := range map[string]string{
		"replica identity":                "ALTER TABLE rooms REPLICA IDENTITY FULL",
		"rewrite to the same type":        "ALTER TABLE rooms ALTER price TYPE numeric USING price + 1",
		"a table more":                    "CREATE TABLE more (id int PRIMARY KEY); ALTER PUBLICATION walpurge ADD TABLE more",
		"out of the publication and back": "ALTER PUBLICATION walpurge DROP TABLE rooms; ALTER PUBLICATION walpurge ADD TABLE rooms",
		"truncate of a partition":         "TRUNCATE part1",
		"a partition detached":            "ALTER TABLE parts DETACH PARTITION part1",
	} {
		t.Run(name, func(t *testing.T) {
			url := testbed.Database(t)
			newClient(t, url).exec(rooms, "CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY LIST (id)", "CREATE TABLE part1 PARTITION OF parts FOR VALUES IN (1)")
			r := listen(t, config(t, url, watchRooms(), Watch{Table: "public.parts"}))
			r.exec(ddl)
			r.expectEpochs("start", "catalogue")
			r.proven()
			r.expect(sql("INSERT INTO rooms VALUES (2)"), "insert rooms: id=2 city=null price=null")
		})
	}
}

func TestUnusableTableServesNothingUntilItIsMended(t *testing.T) {
	for name, test := range map[string]struct{ harm, words, mend string }{
		"dropped":             {"ALTER TABLE rooms RENAME TO rooms2", "public.rooms doesn't exist", "ALTER TABLE rooms2 RENAME TO rooms"},
		"column gone":         {"ALTER TABLE rooms RENAME city TO town", "has no column city", "ALTER TABLE rooms RENAME town TO city"},
		"not published":       {"ALTER PUBLICATION walpurge DROP TABLE rooms", "doesn't have table public.rooms", "ALTER PUBLICATION walpurge ADD TABLE rooms"},
		"without an identity": {"ALTER TABLE rooms REPLICA IDENTITY NOTHING", "UPDATE and DELETE on it fail", "ALTER TABLE rooms REPLICA IDENTITY DEFAULT"},
	} {
		t.Run(name, func(t *testing.T) {
			url := testbed.Database(t)
			newClient(t, url).exec(rooms)
			r := listen(t, config(t, url, watchRooms()))
			r.exec(test.harm)
			eventually(t, "it is refused", func() bool {
				return strings.Contains(r.listener.Status().LastError, test.words) && r.guard.Proven() == 0
			})
			r.exec(test.mend)
			r.proven()
			if got := r.epochs(); len(got) != 2 || got[1] != "catalogue" {
				t.Errorf("epochs %q", got)
			}
			r.expect(sql("INSERT INTO rooms VALUES (2)"), "insert rooms: id=2 city=null price=null")
		})
	}
}

func TestChangedTypeIsUnknownFromThenOn(t *testing.T) {
	url := testbed.Database(t)
	newClient(t, url).exec(rooms)
	r := listen(t, config(t, url, watchRooms()))
	r.exec("ALTER TABLE rooms ALTER price TYPE text")
	r.expectEpochs("start", "catalogue")
	r.proven()
	r.expect(sql("INSERT INTO rooms VALUES (1, 'n', 'c', 'p')"), "insert rooms: id=1 city=c price=?")
}

// Old transactions have the old schema, and the catalogue has the new one:
// the backlog must still be worked off.
func TestBacklogFromBeforeAnAlterTable(t *testing.T) {
	url := testbed.Database(t)
	newClient(t, url).exec(rooms)
	cfg := config(t, url, watchRooms())
	first := listen(t, cfg)
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	newClient(t, url).exec("INSERT INTO rooms VALUES (1)", "ALTER TABLE rooms ADD COLUMN more int", "INSERT INTO rooms VALUES (2)")
	second := listen(t, cfg)
	second.caughtUp()
	if got := strings.Join(second.lines(), ", "); got != "whole public.rooms, insert rooms: id=2 city=null price=null" {
		t.Errorf("got %s", got)
	}
	second.proven()
	second.expectEpochs("start")
}
