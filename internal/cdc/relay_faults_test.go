package cdc

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"walpurge/dev/testbed"
	"walpurge/internal/cdc/catalogue"
	"walpurge/internal/coherence"
)

// ledBy starts a leader and a follower on a Redis of their own.
func ledBy(t testing.TB, redis *testbed.Redis, change ...func(*Config)) (f *fleet, leader, follower *rig) {
	t.Helper()
	f = newFleet(t, testbed.Database(t), redis.URL())
	leader = f.join(change...)
	f.ready(leader)
	f.role(leader, roleLeader)
	follower = f.join(change...)
	f.ready(follower)
	return f, leader, follower
}

// newEpoch waits until every listener is proven fresh in one epoch after the
// old one, and returns its reason.
func (f *fleet) newEpoch(old *rig, before string, rigs ...*rig) {
	f.t.Helper()
	eventually(f.t, "all are in one new epoch", func() bool {
		now := old.guard.Epoch().String()
		for _, r := range rigs {
			if r.guard.Epoch().String() != now || r.guard.Proven() == 0 {
				return false
			}
		}
		return now != before
	})
}

// TestRedisRestartsEmpty: what the relay held is lost, so a new epoch begins,
// everywhere.
func TestRedisRestartsEmpty(t *testing.T) {
	redis := testbed.NewRedis(t)
	f, leader, follower := ledBy(t, redis)
	f.exec("INSERT INTO listings VALUES (1, 'Lagos', 10, NULL)")
	f.agree(leader, follower)
	epoch := leader.guard.Epoch().String()
	p := follower.cache("Abuja")
	if err := redis.Kill(); err != nil {
		t.Fatal(err)
	}
	f.exec("INSERT INTO listings VALUES (2, 'Abuja', 10, NULL)")
	if err := redis.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.newEpoch(leader, epoch, leader, follower)
	if p.handle.Live() {
		t.Error("the page outlived its epoch")
	}
	for _, r := range []*rig{leader, follower} {
		if got := r.epochs(); got[len(got)-1] != "redis" {
			t.Errorf("epochs %v", got)
		}
	}
	f.exec("INSERT INTO listings VALUES (3, 'Lagos', 10, NULL)")
	f.agree(leader, follower)
	f.ready(f.join())
}

// TestOldCopyOfRedis: Redis comes back with an old snapshot of the stream.
func TestOldCopyOfRedis(t *testing.T) {
	redis := testbed.NewRedis(t, "--dbfilename", "old.rdb")
	f, leader, follower := ledBy(t, redis)
	f.exec("INSERT INTO listings VALUES (1, 'Lagos', 10, NULL)")
	f.agree(leader, follower)
	if err := f.redis.Save(context.Background()).Err(); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		f.exec(fmt.Sprintf("INSERT INTO listings VALUES (%d, 'Kano', 10, NULL)", 10+i))
	}
	f.agree(leader, follower)
	epoch := leader.guard.Epoch().String()
	if err := redis.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := redis.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(f.messages()); n == 0 {
		t.Fatal("the snapshot was not loaded")
	}
	f.newEpoch(leader, epoch, leader, follower)
	if got := leader.epochs(); got[len(got)-1] != "redis" {
		t.Errorf("epochs %v", got)
	}
	f.exec("INSERT INTO listings VALUES (3, 'Lagos', 10, NULL)")
	f.agree(leader, follower)
}

// TestRedisAway: without Redis the leader goes on, the followers lose their
// proof, and the slot is held back for a while only.
func TestRedisAway(t *testing.T) {
	redis := testbed.NewRedis(t)
	f, leader, follower := ledBy(t, redis, func(c *Config) { c.Relay.Patience = 500 * time.Millisecond })
	f.agree(leader, follower)
	epoch := leader.guard.Epoch().String()
	if err := redis.Pause(); err != nil {
		t.Fatal(err)
	}
	f.exec("INSERT INTO listings VALUES (1, 'Lagos', 10, NULL)")
	at := f.position()
	eventually(t, "the leader settles it alone", func() bool { return leader.guard.Watermark() >= at })
	proven := follower.guard.Proven()
	forgotten := func(at coherence.LSN) {
		eventually(t, "the server may forget it", func() bool {
			return f.text("SELECT confirmed_flush_lsn >= '"+at.String()+"' FROM pg_replication_slots WHERE slot_name = '"+f.cfg.Slot+"'") == "t"
		})
	}
	forgotten(at)
	// The first may still be on its way to Redis. This one never was.
	f.exec("INSERT INTO listings VALUES (2, 'Lagos', 10, NULL)")
	forgotten(f.position())
	if now := follower.guard.Proven(); now != proven && follower.guard.Applied() < at {
		t.Errorf("the follower was proven fresh at %d and again at %d without what the relay lacked", proven, now)
	}
	if leader.guard.Epoch().String() != epoch {
		t.Error("the leader dropped what it had cached while it was alone")
	}
	if err := redis.Resume(); err != nil {
		t.Fatal(err)
	}
	f.newEpoch(leader, epoch, leader, follower)
	// The slot stands beyond the relay, should the other have taken it.
	if got := leader.epochs(); !slices.Contains([]string{"relay", "slot_ahead"}, got[len(got)-1]) {
		t.Errorf("epochs %v", got)
	}
}

// TestShortAbsenceOfRedis: what the leader received meanwhile is relayed
// afterwards, in the same epoch, and was not acknowledged before.
func TestShortAbsenceOfRedis(t *testing.T) {
	redis := testbed.NewRedis(t)
	f, leader, follower := ledBy(t, redis)
	f.agree(leader, follower)
	epoch := leader.guard.Epoch()
	if err := redis.Pause(); err != nil {
		t.Fatal(err)
	}
	f.exec("INSERT INTO listings VALUES (1, 'Lagos', 10, NULL)")
	at := f.position()
	eventually(t, "the leader settles it", func() bool { return leader.guard.Watermark() >= at })
	if ack := leader.settled(); ack >= at {
		t.Errorf("%s is acknowledged, and the relay doesn't have %s", ack, at)
	}
	if err := redis.Resume(); err != nil {
		t.Fatal(err)
	}
	f.agree(leader, follower)
	f.sameLines(leader, follower)
	if leader.guard.Epoch() != epoch || follower.guard.Epoch() != epoch {
		t.Errorf("epochs %v and %v", leader.epochs(), follower.epochs())
	}
}

// TestSlotDroppedUnderTheLeader: a new epoch reaches the followers.
func TestSlotDroppedUnderTheLeader(t *testing.T) {
	f, leader, followers := led(t, 2)
	f.agree(followers...)
	epoch := leader.guard.Epoch().String()
	p := followers[0].cache("Abuja")
	eventually(t, "the slot can be dropped", func() bool {
		_, err := f.conn.PgConn().Exec(context.Background(), "SELECT pg_terminate_backend(active_pid), pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '"+f.cfg.Slot+"'").ReadAll()
		return err == nil
	})
	f.exec("INSERT INTO listings VALUES (1, 'Abuja', 10, NULL)") // nobody hears it
	all := append([]*rig{leader}, followers...)
	f.newEpoch(leader, epoch, all...)
	if p.handle.Live() {
		t.Error("the page outlived its epoch")
	}
	for _, r := range all {
		if got := r.epochs(); !slices.Contains([]string{"slot_missing", "slot_ahead"}, got[len(got)-1]) {
			t.Errorf("epochs %v", got)
		}
	}
}

// TestSchemaChangeReachesFollowers: what the leader notices of the catalogue
// ends what depends on the table in all processes, and no more. A follower
// proves nothing from the change on until that has happened.
func TestSchemaChangeReachesFollowers(t *testing.T) {
	f, leader, followers := led(t, 1)
	follower := followers[0]
	f.agree(follower)
	for _, ddl := range []string{"ALTER TABLE listings ADD COLUMN more int DEFAULT 7", "ALTER TABLE listings ENABLE ROW LEVEL SECURITY", "VACUUM FULL listings"} {
		led, followed := leader.wholePage("listings"), follower.wholePage("listings")
		f.exec(ddl)
		follower.afterwards()
		if followed.handle.Live() {
			t.Errorf("%s: a page on the follower is a hit for a strict read", ddl)
		}
		leader.afterwards()
		if led.handle.Live() {
			t.Errorf("%s: a page on the leader is a hit for a strict read", ddl)
		}
	}
	leader.expectEpochs("start")
	follower.expectEpochs("start")
}

// TestLostTableReachesFollowers: so does what can't be followed, for as long as
// it can't, whoever leads.
func TestLostTableReachesFollowers(t *testing.T) {
	f, leader, followers := led(t, 1)
	follower := followers[0]
	f.agree(follower)
	page := follower.wholePage("listings")
	f.exec("ALTER PUBLICATION walpurge DROP TABLE listings")
	follower.afterwards()
	if page.handle.Live() {
		t.Error("a page of a table that isn't published is a hit")
	}
	if got := follower.listener.Status().Lost; len(got) != 1 || got[0].Table != "public.listings" {
		t.Errorf("lost on the follower are %+v", got)
	}
	if err := leader.stop(); err != nil {
		t.Fatal(err)
	}
	f.role(follower, roleLeader)
	follower.afterwards()
	if follower.guard.Open(page.handle, page, page.deps) {
		t.Error("a fill may be stored by who leads now")
	}
	follower.guard.Close(page.handle)
	f.exec("ALTER PUBLICATION walpurge ADD TABLE listings")
	follower.wholePage("listings")
	follower.expectEpochs("start")
}

// TestTakeoverAfterASchemaChange: who leads next finds what has changed while
// nobody led.
func TestTakeoverAfterASchemaChange(t *testing.T) {
	f, leader, followers := led(t, 1)
	follower := followers[0]
	f.agree(follower)
	page := follower.wholePage("listings")
	f.exec("BEGIN", "ALTER TABLE listings ADD COLUMN more int DEFAULT 7") // known to nobody yet
	if err := leader.stop(); err != nil {
		t.Fatal(err)
	}
	f.exec("COMMIT")
	f.role(follower, roleLeader)
	follower.afterwards()
	if page.handle.Live() {
		t.Error("a page from before is a hit for a strict read")
	}
	follower.expectEpochs("start")
}

// TestUncoveredFollowerServesNothing: a process that watches a table which the
// leader doesn't watch is never proven fresh, until it leads itself.
func TestUncoveredFollowerServesNothing(t *testing.T) {
	f, leader, _ := led(t, 0)
	f.exec("CREATE TABLE agents (id int PRIMARY KEY)", "ALTER PUBLICATION walpurge ADD TABLE agents")
	f.ready(leader)
	wider := f.join(func(c *Config) {
		c.Watches = append(slices.Clone(c.Watches), catalogue.Watch{Table: "public.agents", Columns: []string{"id"}, Conditions: []string{"id"}})
	})
	narrower := f.join(func(c *Config) {
		c.Watches = []catalogue.Watch{{Table: "public.listings", Columns: []string{"price"}, Conditions: []string{"price"}}}
	})
	f.ready(narrower)
	eventually(t, "the other has read the relay", func() bool { return wider.guard.Applied() >= f.position() })
	s := wider.listener.Status()
	if wider.guard.Proven() != 0 || s.Role != roleWaiting || s.Relay.Covered {
		t.Errorf("proven at %d, %+v, %+v", wider.guard.Proven(), s, s.Relay)
	}
	f.exec("INSERT INTO listings VALUES (1, 'Abuja', 10, NULL)")
	f.agree(leader, narrower)
	if got := narrower.lines(); len(got) != 1 || got[0] != "insert listings: price=?" {
		t.Errorf("a column that the leader doesn't send: %q", got)
	}
	if err := narrower.stop(); err != nil {
		t.Fatal(err)
	}
	if err := leader.stop(); err != nil {
		t.Fatal(err)
	}
	f.ready(wider)
	f.role(wider, roleLeader)
}

// TestFollowerNeedsThePrimary: a follower asks the primary itself; what the relay
// brings proves nothing alone.
func TestFollowerNeedsThePrimary(t *testing.T) {
	db := testbed.Database(t)
	f := newFleet(t, db, testbed.SharedRedis(t))
	leader := f.join()
	f.ready(leader)
	board := &switchboard{t: t, target: db}
	through := board.url()
	follower := f.join(func(c *Config) { c.URL = through })
	f.ready(follower)
	board.freeze(true)
	f.exec("INSERT INTO listings VALUES (1, 'Abuja', 10, NULL)")
	at := f.position()
	eventually(t, "the relay brings the change", func() bool { return follower.guard.Applied() >= at })
	proven := follower.guard.Proven()
	f.exec("INSERT INTO listings VALUES (2, 'Abuja', 10, NULL)")
	f.agree(leader)
	if now := follower.guard.Proven(); now != proven {
		t.Errorf("proven at %d and then at %d without the primary", proven, now)
	}
	board.freeze(false)
	eventually(t, "it is proven again", func() bool { return follower.guard.Proven() > proven })
}

// TestFloorMustBeVisible: a process that begins to follow above a commit that
// hangs proves nothing, since a fill could read the row as it was before and
// no purge would come.
func TestFloorMustBeVisible(t *testing.T) {
	pg := testbed.NewPostgres(t, nil)
	f := newFleet(t, pg.URL("postgres"), testbed.SharedRedis(t))
	leader := f.join(func(c *Config) { c.Relay.MaxEntries = 1 })
	f.ready(leader)
	f.role(leader, roleLeader)
	f.exec("INSERT INTO listings VALUES (0, 'Lagos', 10, NULL)")
	f.agree(leader)
	if err := pg.Set(t.Context(), "synchronous_standby_names", "nobody"); err != nil {
		t.Fatal(err)
	}
	held := newClient(t, pg.URL("postgres"))
	committed := make(chan error, 1)
	seen := len(leader.lines())
	go func() {
		_, err := held.conn.PgConn().Exec(context.Background(), "UPDATE listings SET price = 11 WHERE id = 0").ReadAll()
		committed <- err
	}()
	eventually(t, "the change is decoded", func() bool { return len(leader.lines()) > seen })
	at := leader.guard.Applied()
	f.exec("SET synchronous_commit = local")
	for i := 1; f.entries()[0].From < at; i++ {
		f.exec(fmt.Sprintf("INSERT INTO listings VALUES (%d, 'Kano', 10, NULL)", i))
		if i > 20*keyframeEvery {
			t.Fatal("the stream is never cut")
		}
	}
	follower := f.join()
	f.role(follower, roleFollower)
	eventually(t, "the follower has read the relay", func() bool { return follower.guard.Applied() >= f.position() })
	f.exec("INSERT INTO listings VALUES (-1, 'Kano', 10, NULL)")
	eventually(t, "and more", func() bool { return follower.guard.Applied() >= f.position() })
	if follower.guard.Proven() != 0 {
		t.Error("proven fresh while a commit below the floor hangs")
	}
	if err := pg.Set(t.Context(), "synchronous_standby_names", ""); err != nil {
		t.Fatal(err)
	}
	if err := <-committed; err != nil {
		t.Fatal(err)
	}
	f.ready(follower)
}
