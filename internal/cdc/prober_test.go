package cdc

import (
	"context"
	"testing"
	"time"

	"walpurge/dev/testbed"
	"walpurge/internal/coherence"
)

func TestIdleServerStaysProvenAndIsAcknowledged(t *testing.T) {
	url, other := testbed.Database(t), testbed.Database(t)
	newClient(t, url).exec(rooms)
	r := listen(t, config(t, url, watchRooms()))
	for range 5 {
		r.proven()
	}
	elsewhere := newClient(t, other)
	elsewhere.exec("CREATE TABLE noise (t text)")
	for range 2 {
		elsewhere.exec("INSERT INTO noise SELECT repeat('x', 1000) FROM generate_series(1, 1000)")
		at := r.flushed()
		eventually(t, "the other database's log is acknowledged", func() bool { return r.confirmed() >= at })
		r.proven()
	}
	eventually(t, "the slot is looked after", func() bool { return r.listener.Status().WALStatus == "reserved" })
}

// The WAL writer leaves a log that ends inside a record on a quiet server:
// what pg_switch_wal and aborts leave must not take the proof away for long.
func TestQuietServerIsProvenAfterAnAbort(t *testing.T) {
	url := testbed.Database(t)
	newClient(t, url).exec(rooms)
	r := listen(t, config(t, url, watchRooms()))
	for range 3 {
		r.exec("BEGIN", "INSERT INTO rooms SELECT g, repeat('x', 500) FROM generate_series(1, 200) g", "ROLLBACK")
		r.proven()
		r.exec("SELECT pg_switch_wal()")
		r.proven()
	}
}

func TestFlushPositionIsShared(t *testing.T) {
	url := testbed.Database(t)
	newClient(t, url).exec(rooms)
	r := listen(t, config(t, url, watchRooms()))
	before := r.flushed()
	answers := make(chan error, 100)
	for range cap(answers) {
		go func() {
			lsn, err := r.listener.FlushPosition(t.Context())
			if err == nil && lsn < before {
				err = context.DeadlineExceeded
			}
			answers <- err
		}()
	}
	for range cap(answers) {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.listener.FlushPosition(cancelled); err == nil {
		t.Log("the answer was faster than the cancellation")
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.listener.FlushPosition(t.Context()); err == nil {
		t.Error("a position without a connection")
	}
}

// An open transaction fills pages of the log, and the WAL writer flushes them
// to the end of a page in the middle of a record. On a quiet server it stays
// there.
func TestLogThatEndsInsideARecordIsNudged(t *testing.T) {
	p := testbed.NewPostgres(t, map[string]string{"autovacuum": "off"})
	url := p.URL("postgres")
	newClient(t, url).exec(rooms, `CREATE TABLE other (note text)`)
	r := listen(t, config(t, url, watchRooms()))
	writer := newClient(t, url)
	for range 3 {
		before := r.flushed()
		writer.exec("BEGIN", "INSERT INTO other SELECT repeat('x', 700) FROM generate_series(1, 100)")
		eventually(t, "the WAL writer has flushed", func() bool { return r.flushed() > before })
		now := r.cfg.Now()
		patient(t, 5*time.Second, "a proof of freshness", func() bool { return r.guard.Proven() > now })
		writer.exec("COMMIT")
	}
}

// A strict read that gets such a position doesn't wait for the nudge that a
// quiet log would get: it is answered within the time that strict_wait gives,
// on the leader and on a follower.
func TestStrictReadNudgesALogThatEndsInsideARecord(t *testing.T) {
	const enough = 100 * time.Millisecond // far below the standstillAfter of package proof
	p := testbed.NewPostgres(t, map[string]string{"autovacuum": "off"})
	f := newFleet(t, p.URL("postgres"), testbed.SharedRedis(t))
	leader := f.join()
	f.ready(leader)
	f.role(leader, roleLeader)
	follower := f.join()
	f.ready(follower)
	f.exec("CREATE TABLE other (note text)")
	f.agree(leader, follower)
	for name, r := range map[string]*rig{"leader": leader, "follower": follower} {
		best := time.Duration(0)
		for range 20 {
			before := f.position()
			f.exec("BEGIN", "INSERT INTO other SELECT repeat('x', 700) FROM generate_series(1, 100)")
			eventually(t, "the WAL writer has flushed", func() bool {
				at, err := coherence.ParseLSN(leader.text("SELECT pg_current_wal_flush_lsn()"))
				return err == nil && at > before
			})
			began, now := time.Now(), r.cfg.Now()
			proven, cancel := r.guard.WaitProven(now)
			if _, err := r.listener.FlushPosition(t.Context()); err != nil {
				t.Fatal(err)
			}
			select {
			case <-proven:
			case <-time.After(patience):
				t.Fatalf("the %s is not proven fresh", name)
			}
			cancel()
			if took := time.Since(began); best == 0 || took < best {
				best = took
			}
			f.exec("COMMIT")
			f.agree(leader, follower)
			if best < enough {
				break
			}
		}
		testbed.Measured(t, "a strict read on the %s while the log ends inside a record: %v", name, best)
		if best >= enough {
			t.Errorf("the fastest strict read on the %s took %v", name, best)
		}
	}
}
