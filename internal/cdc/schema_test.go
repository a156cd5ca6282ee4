package cdc

import (
	"slices"
	"strings"
	"testing"

	"walpurge/dev/testbed"
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
	eventually(t, "the catalogue is found to have changed", func() bool { return slices.Contains(r.lines()[1:], "whole public.rooms") })
	r.proven()
	r.expect(sql("INSERT INTO rooms VALUES (2)"), "insert rooms: id=2 city=null price=null")
	r.expectEpochs("start")
}

func TestChangedTypeIsUnknownFromThenOn(t *testing.T) {
	url := testbed.Database(t)
	newClient(t, url).exec(rooms)
	r := listen(t, config(t, url, watchRooms()))
	r.exec("ALTER TABLE rooms ALTER price TYPE text")
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
