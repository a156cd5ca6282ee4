package cdc

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"walpurge/dev/testbed"
	"walpurge/internal/coherence"
	"walpurge/internal/relay"
)

// TestFollowersApplyWhatTheLeaderReceives: rows, truncation, groups and
// counts arrive, in order, and evict the same pages.
func TestFollowersApplyWhatTheLeaderReceives(t *testing.T) {
	f, leader, followers := led(t, 2)
	all := append([]*rig{leader}, followers...)
	var lagos, abuja []*cachedPage
	for _, r := range all {
		lagos, abuja = append(lagos, r.cache("Lagos")), append(abuja, r.cache("Abuja"))
	}
	f.exec("INSERT INTO listings VALUES (1, 'Lagos', 10, NULL)",
		"UPDATE listings SET city = NULL, note = 'x' WHERE id = 1",
		"BEGIN; INSERT INTO listings SELECT n, 'Kano', n, 'y' FROM generate_series(2, 5) n; DELETE FROM listings WHERE id = 3; COMMIT",
		"SELECT pg_logical_emit_message(true, 'walpurge', 'group-a group-b')",
		"UPDATE listings SET note = 'z' WHERE id = 2")
	f.agree(all...)
	f.sameLines(all...)
	if len(leader.lines()) != 10 {
		t.Errorf("lines: %q", leader.lines())
	}
	for i := range all {
		if lagos[i].handle.Live() || !abuja[i].handle.Live() {
			t.Errorf("listener %d: the page of Lagos lives: %t, that of Abuja: %t", i, lagos[i].handle.Live(), abuja[i].handle.Live())
		}
	}
	f.exec("TRUNCATE listings")
	f.agree(all...)
	f.sameLines(all...)
	for i, r := range all {
		if abuja[i].handle.Live() {
			t.Errorf("listener %d: the page of Abuja outlived TRUNCATE", i)
		}
		s := r.listener.Status()
		if want := map[bool]string{true: roleLeader, false: roleFollower}[r == leader]; s.Role != want || s.Epoch != leader.listener.Status().Epoch {
			t.Errorf("listener %d: %+v", i, s)
		}
	}
}

// TestFollowersApplyStreamedTransactions: what the leader receives while it is
// open goes out at its commit, in one entry, and what is rolled back doesn't.
func TestFollowersApplyStreamedTransactions(t *testing.T) {
	f := newFleet(t, newEager(t).database(), testbed.SharedRedis(t))
	leader := f.join()
	f.ready(leader)
	f.role(leader, roleLeader)
	follower := f.join()
	f.ready(follower)
	lagos, abuja := follower.cache("Lagos"), follower.cache("Abuja")
	w := newClient(t, leader.url)
	insert := func(city string, first, last int) string {
		return fmt.Sprintf("INSERT INTO listings SELECT n, '%s', n, repeat('y', 300) FROM generate_series(%d, %d) n", city, first, last)
	}
	w.exec("BEGIN", insert("Abuja", 1, 600))
	leader.open(1)
	w.exec("ROLLBACK")
	leader.open(0)
	f.agree(leader, follower)
	w.exec("BEGIN", insert("Kano", 1, 600), "SELECT pg_logical_emit_message(true, 'walpurge', 'g')")
	leader.open(1)
	f.exec("INSERT INTO listings VALUES (5000, 'Jos', 1, '')")
	f.agree(leader, follower)
	if !lagos.handle.Live() || !abuja.handle.Live() || len(follower.lines()) != 1 {
		t.Errorf("before the commit: Lagos lives: %t, Abuja: %t, lines %q", lagos.handle.Live(), abuja.handle.Live(), follower.lines())
	}
	w.exec(insert("Lagos", 601, 700), "COMMIT")
	f.agree(leader, follower)
	f.sameLines(leader, follower)
	if lagos.handle.Live() || !abuja.handle.Live() || len(follower.lines()) != 702 {
		t.Errorf("after the commit: Lagos lives: %t, Abuja: %t, %d lines", lagos.handle.Live(), abuja.handle.Live(), len(follower.lines()))
	}
	var counts []int
	for _, e := range f.entries() {
		if e.Count > 0 {
			counts = append(counts, e.Count)
		}
	}
	if !slices.Equal(counts, []int{1, 1}) {
		t.Errorf("entries with so many transactions: %v", counts)
	}
	// A commit while nobody leads: the next leader receives all of it.
	w.exec("BEGIN", insert("Abuja", 6000, 6500))
	leader.open(1)
	if err := leader.stop(); err != nil {
		t.Fatal(err)
	}
	w.exec("COMMIT")
	f.role(follower, roleLeader)
	f.agree(follower)
	if abuja.handle.Live() || len(follower.lines()) != 702+501 {
		t.Errorf("after the takeover: Abuja lives: %t, %d lines", abuja.handle.Live(), len(follower.lines()))
	}
	follower.expectEpochs(follower.epochs()[0])
}

// TestFollowerCountsRowsOfWholeTables: a transaction above bulk_rows arrives
// as a whole table with its counts.
func TestFollowerCountsRowsOfWholeTables(t *testing.T) {
	f, leader, followers := led(t, 1)
	p := followers[0].cache("Lagos")
	f.exec("INSERT INTO listings SELECT n, 'Kano', n, 'y' FROM generate_series(1, 3000) n")
	f.agree(leader, followers[0])
	f.sameLines(leader, followers[0])
	followers[0].notes.mu.Lock()
	defer followers[0].notes.mu.Unlock()
	if p.handle.Live() || followers[0].notes.rows != 3000 {
		t.Errorf("the page lives: %t; %d rows counted", p.handle.Live(), followers[0].notes.rows)
	}
}

// TestTakeover: when the leader ends, a follower takes the slot, goes on in
// the same epoch, and nothing that was cached is lost, neither there nor on
// the others.
func TestTakeover(t *testing.T) {
	f, leader, followers := led(t, 2)
	f.exec("INSERT INTO listings VALUES (1, 'Lagos', 10, NULL)")
	f.agree(followers...)
	pages := []*cachedPage{followers[0].cache("Abuja"), followers[1].cache("Abuja")}
	epoch := leader.guard.Epoch()
	if err := leader.stop(); err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	var next, other *rig
	eventually(t, "another leader", func() bool {
		for i, r := range followers {
			if r.listener.Status().Role == roleLeader && r.listener.Status().Connected {
				next, other = r, followers[1-i]
				return true
			}
		}
		return false
	})
	took := time.Since(at)
	t.Logf("takeover after %v", took)
	if took > 2*time.Second {
		t.Errorf("takeover took %v", took)
	}
	f.exec("INSERT INTO listings VALUES (2, 'Kano', 10, NULL)")
	f.agree(next, other)
	f.sameLines(next, other)
	for i, p := range pages {
		if !p.handle.Live() {
			t.Errorf("follower %d lost its page", i)
		}
	}
	if next.guard.Epoch() != epoch || other.guard.Epoch() != epoch {
		t.Errorf("epochs %s and %s, want %s", next.guard.Epoch(), other.guard.Epoch(), epoch)
	}
	again := f.join()
	f.ready(again)
	f.role(again, roleFollower)
	f.exec("INSERT INTO listings VALUES (3, 'Abuja', 10, NULL)")
	f.agree(again, next, other)
	for i, p := range pages {
		if p.handle.Live() {
			t.Errorf("follower %d kept its page", i)
		}
	}
}

// TestRestartContinuesTheEpoch: alone, a process that is started again loads
// the stream and continues; what was stored elsewhere before is usable unless
// a change since has touched it.
func TestRestartContinuesTheEpoch(t *testing.T) {
	f, leader, _ := led(t, 0)
	f.exec("INSERT INTO listings VALUES (1, 'Lagos', 10, NULL)")
	f.agree(leader)
	epoch, asof := leader.guard.Epoch(), leader.guard.Watermark()
	f.exec("UPDATE listings SET price = 11 WHERE id = 1")
	f.agree(leader)
	if err := leader.stop(); err != nil {
		t.Fatal(err)
	}
	f.exec("INSERT INTO listings VALUES (2, 'Kano', 10, NULL)") // nobody hears it
	again := f.join()
	f.ready(again)
	f.agree(again)
	if now := again.guard.Epoch(); now != epoch || !slices.Equal(again.epochs(), []string{"start"}) {
		t.Errorf("epoch %s after %s: %v", now, epoch, again.epochs())
	}
	want := append(leader.lines(), "insert listings: city=Kano id=2 price=?")
	if got := again.lines(); !slices.Equal(got, want) {
		t.Errorf("it has applied %q, want %q", got, want)
	}
	for city, want := range map[string]bool{"Lagos": false, "Kano": false, "Abuja": true} {
		p := &cachedPage{causes: make(chan coherence.Cause, 1)}
		if got := again.guard.OpenStored(&p.handle, p, again.cityDeps(city), epoch, asof); got != want {
			t.Errorf("what was stored for %s is usable: %t", city, got)
		}
	}
	if n := len(f.entries()); n < 3 {
		t.Errorf("%d entries in the stream", n)
	}
}

// TestStreamStaysBounded: the leader cuts the stream at a keyframe, and a
// process that starts begins there.
func TestStreamStaysBounded(t *testing.T) {
	f, leader, _ := led(t, 0)
	const most = 2 * keyframeEvery
	if err := leader.stop(); err != nil {
		t.Fatal(err)
	}
	leader = f.join(func(c *Config) { c.Relay.MaxEntries = most })
	f.ready(leader)
	f.role(leader, roleLeader)
	var cut bool
	for i := 0; !cut || i < 3*keyframeEvery; i++ {
		f.exec(fmt.Sprintf("INSERT INTO listings VALUES (%d, 'Kano', 10, NULL)", i))
		f.agree(leader)
		cut = !f.entries()[0].Begins
		if i > 20*keyframeEvery {
			t.Fatal("the stream is never cut")
		}
	}
	all := f.entries()
	if len(all) > most+keyframeEvery || all[0].Announced == nil {
		t.Errorf("%d entries, the first is %+v", len(all), all[0])
	}
	if life := f.redis.TTL(t.Context(), f.stream().Key).Val(); life <= 0 || life > 24*time.Hour {
		t.Errorf("the stream lives for %v", life)
	}
	again := f.join()
	f.ready(again)
	f.exec("INSERT INTO listings VALUES (-1, 'Kano', 10, NULL)")
	f.agree(leader, again)
	if again.guard.Epoch() != leader.guard.Epoch() {
		t.Error("another epoch")
	}
}

// TestZombieIsFenced: a leader that was stopped, has lost the slot and goes on
// can't write: its next entry is refused and it follows.
func TestZombieIsFenced(t *testing.T) {
	f, leader, followers := led(t, 1)
	f.exec("INSERT INTO listings VALUES (1, 'Lagos', 10, NULL)")
	f.agree(leader, followers[0])
	// Somebody else writes the entry that is the leader's to write.
	stream := f.stream()
	last, err := stream.Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	e, err := last.Entry()
	if err != nil {
		t.Fatal(err)
	}
	other := &relay.Entry{Epoch: e.Epoch, Prev: last.Sum(), Nonce: 1, From: e.Applied, Applied: e.Applied, Watermark: e.Watermark}
	if _, err := stream.Server.Append(t.Context(), &relay.Addition{Message: relay.Message{Seq: last.Seq + 1, Blob: other.Encode()}}); err != nil {
		t.Fatal(err)
	}
	sessions := leader.listener.Status().Sessions
	f.exec("INSERT INTO listings VALUES (2, 'Kano', 10, NULL)")
	eventually(t, "the leader's term ends", func() bool {
		s := leader.listener.Status()
		return s.Role != roleLeader || s.Sessions > sessions
	})
	f.agree(leader, followers[0])
	f.sameLines(leader, followers[0])
	if a, b := leader.guard.Epoch(), followers[0].guard.Epoch(); a != b || a != e.Epoch {
		t.Errorf("epochs %s and %s, want %s", a, b, e.Epoch)
	}
}

// TestUnconfirmedEntryIsWrittenOnce: a term that ends with an entry under way
// writes that one before any other.
func TestUnconfirmedEntryIsWrittenOnce(t *testing.T) {
	f, leader, followers := led(t, 1)
	for i := range 40 {
		f.exec(fmt.Sprintf("INSERT INTO listings VALUES (%d, 'Lagos', 10, NULL)", i))
		if i%8 == 7 {
			f.exec("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '" + f.cfg.Slot + "'")
		}
	}
	f.agree(leader, followers[0])
	want := 40
	if a, b := len(leader.lines()), len(followers[0].lines()); a != want || b != want {
		t.Errorf("%d and %d rows seen, want %d", a, b, want)
	}
	var previous coherence.LSN
	for _, e := range f.entries() {
		if !e.Begins && e.From != previous {
			t.Errorf("an entry from %s follows one up to %s", e.From, previous)
		}
		previous = e.Applied
	}
	for _, r := range []*rig{leader, followers[0]} {
		if n := len(r.epochs()); n != 1 {
			t.Errorf("epochs %v", r.epochs())
		}
	}
}

// TestGapIsNoticed: entries that vanish from the middle of the stream make
// followers begin again at the oldest entry.
func TestGapIsNoticed(t *testing.T) {
	f, leader, followers := led(t, 1)
	p := followers[0].cache("Abuja")
	f.exec("INSERT INTO listings VALUES (1, 'Lagos', 10, NULL)")
	f.agree(leader, followers[0])
	// The follower forgets where it is, as if entries had been lost.
	fo := followers[0].listener.follower
	fo.mu.Lock()
	fo.mu.Seq++
	fo.mu.Unlock()
	f.exec("INSERT INTO listings VALUES (2, 'Abuja', 10, NULL)")
	f.exec("INSERT INTO listings VALUES (3, 'Kano', 10, NULL)")
	f.agree(leader, followers[0])
	if p.handle.Live() {
		t.Error("a change in the gap was missed")
	}
	f.ready(followers[0])
	if n := len(followers[0].epochs()); n > 2 {
		t.Errorf("epochs %v", followers[0].epochs())
	}
}

// TestTrimmedPastAFollower: a follower that was away while the stream was cut
// starts at the oldest entry, which is its floor.
func TestTrimmedPastAFollower(t *testing.T) {
	f, leader, _ := led(t, 0)
	var cable switchboard
	cable.t, cable.target = t, "redis://x@"+redisAddress(f)+"/0"
	through := cable.url()
	away := f.join(func(c *Config) { c.Relay.Client = relayClient(t, "redis://"+addressOf(through)+"/0") })
	f.ready(away)
	p := away.cache("Abuja")
	cable.freeze(true)
	f.exec("INSERT INTO listings VALUES (1, 'Abuja', 10, NULL)")
	f.agree(leader)
	// Enough entries for a keyframe, then everything before it goes.
	for i := range 2 * keyframeEvery {
		f.exec(fmt.Sprintf("INSERT INTO listings VALUES (%d, 'Kano', 10, NULL)", 10+i))
		f.agree(leader)
	}
	var key uint64
	for _, m := range f.messages() {
		if e, err := m.Entry(); err == nil && e.Announced != nil {
			key = m.Seq
		}
	}
	if err := f.redis.XTrimMinID(context.Background(), f.stream().Key, fmt.Sprint(key)).Err(); err != nil {
		t.Fatal(err)
	}
	cable.freeze(false)
	f.agree(leader, away)
	f.ready(away)
	if p.handle.Live() {
		t.Error("the page outlived a change that the follower has never seen")
	}
	if got := away.epochs(); got[len(got)-1] != "gap" || away.guard.Epoch() != leader.guard.Epoch() {
		t.Errorf("epochs %v, %s and %s", got, away.guard.Epoch(), leader.guard.Epoch())
	}
}
