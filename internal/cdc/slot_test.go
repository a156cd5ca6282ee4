package cdc

import (
	"strconv"
	"testing"

	"walpurge/dev/testbed"
)

func TestDroppedSlotIsANewEpoch(t *testing.T) {
	url := testbed.Database(t)
	newClient(t, url).exec(rooms)
	r := listen(t, config(t, url, watchRooms()))
	r.exec(`DO $$ BEGIN FOR i IN 1..1000 LOOP
  PERFORM pg_terminate_backend(active_pid, 1000) FROM pg_replication_slots WHERE slot_name = '` + r.cfg.Slot + `' AND active;
  BEGIN PERFORM pg_drop_replication_slot('` + r.cfg.Slot + `'); EXIT; EXCEPTION WHEN object_in_use THEN NULL; END; END LOOP; END $$`)
	r.exec("INSERT INTO rooms VALUES (1)")
	r.expectEpochs("start", "slot_missing")
	r.proven()
	r.expect(sql("INSERT INTO rooms VALUES (2)"), "insert rooms: id=2 city=null price=null")
}

func TestSlotOfAnotherReaderIsWaitedFor(t *testing.T) {
	url := testbed.Database(t)
	newClient(t, url).exec(rooms)
	cfg := config(t, url, watchRooms())
	first := listen(t, cfg)
	second := start(t, cfg)
	eventually(t, "the second waits", func() bool { return second.listener.Status().State == "waiting for the slot" })
	if second.guard.Epoch() != 0 || len(second.epochs()) != 0 {
		t.Error("the second began an epoch without the slot")
	}
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	second.proven()
	second.expect(sql("INSERT INTO rooms VALUES (1)"), "insert rooms: id=1 city=null price=null")
}

func TestSlotThatWasMovedIsANewEpoch(t *testing.T) {
	url := testbed.Database(t)
	newClient(t, url).exec(rooms)
	r := listen(t, config(t, url, watchRooms()))
	r.exec(`DO $$ BEGIN FOR i IN 1..1000 LOOP
  PERFORM pg_terminate_backend(active_pid, 1000) FROM pg_replication_slots WHERE slot_name = '` + r.cfg.Slot + `' AND active;
  BEGIN PERFORM pg_logical_emit_message(false, 'x', 'y'); PERFORM pg_switch_wal();
    PERFORM pg_replication_slot_advance('` + r.cfg.Slot + `', pg_current_wal_flush_lsn()); EXIT;
    EXCEPTION WHEN object_in_use THEN NULL; END; END LOOP; END $$`)
	r.expectEpochs("start", "slot_ahead")
	r.proven()
}

func TestLostSlotIsMadeAgain(t *testing.T) {
	p := testbed.NewPostgres(t, map[string]string{"max_slot_wal_keep_size": "1MB", "min_wal_size": "32MB", "max_wal_size": "32MB"})
	url := p.URL("postgres")
	newClient(t, url).exec(rooms)
	cfg := config(t, url, watchRooms())
	first := listen(t, cfg)
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, url)
	for i := 0; c.text("SELECT wal_status FROM pg_replication_slots") != "lost"; i++ {
		if i == 20 {
			t.Fatal("the slot isn't lost")
		}
		c.exec("INSERT INTO rooms VALUES ("+strconv.Itoa(i)+")", "SELECT pg_switch_wal()", "CHECKPOINT")
	}
	second := listen(t, cfg)
	second.expectEpochs("start")
	second.expect(sql("INSERT INTO rooms VALUES (100)"), "insert rooms: id=100 city=null price=null")
}

func TestTemporarySlot(t *testing.T) {
	url := testbed.Database(t)
	newClient(t, url).exec(rooms)
	cfg := config(t, url, watchRooms())
	cfg.Temporary = true
	r := listen(t, cfg)
	r.expect(sql("INSERT INTO rooms VALUES (1)"), "insert rooms: id=1 city=null price=null")
	r.exec("SELECT pg_terminate_backend(active_pid, 10000) FROM pg_replication_slots WHERE temporary AND database = current_database()")
	r.expectEpochs("start", "temporary")
	r.proven()
	r.expect(sql("INSERT INTO rooms VALUES (2)"), "insert rooms: id=2 city=null price=null")
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "no slot is left", func() bool { return leavings(r.client) == "1 publications, 0 slots" })
}
