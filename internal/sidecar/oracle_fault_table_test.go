package sidecar

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"walpurge/dev/testbed"
)

// fault is something that goes wrong, and is put right again.
type fault struct {
	name    string
	epochs  []string // why proxies enter another epoch, for one of these reasons; empty: none does
	perhaps bool     // or none
	down    bool     // the primary is away for a while
	long    bool     // left out of a short run
	strike  func(*faults)
}

var everyFault = []fault{
	{name: "leader killed and started again", strike: (*faults).killLeader},
	{name: "leader stopped (SIGSTOP) and continued", long: true, strike: (*faults).stopLeader},
	{name: "follower cut off from Redis", strike: (*faults).cutFollowerOffRedis},
	{name: "leader cut off from Redis", epochs: []string{"relay"}, perhaps: true, long: true, strike: (*faults).cutLeaderOffRedis},
	{name: "all cut off from PostgreSQL", strike: (*faults).cutOffPostgres},
	{name: "Redis stopped (SIGSTOP) and continued", epochs: []string{"relay"}, perhaps: true, long: true, strike: (*faults).stopRedis},
	{name: "Redis killed and restarted empty", epochs: []string{"redis", "gap"}, strike: (*faults).emptyRedis},
	{name: "Redis restored from an old snapshot", long: true, epochs: []string{"redis", "gap"}, strike: (*faults).restoreRedis},
	{name: "stream trimmed past a follower", epochs: []string{"gap"}, strike: (*faults).trimStream},
	{name: "slot dropped", epochs: []string{"slot_missing", "slot_ahead"}, strike: (*faults).dropSlot},
	{name: "slot dropped and made again", long: true, epochs: []string{"slot_ahead", "slot_missing"}, strike: (*faults).replaceSlot},
	{name: "slot lost (max_slot_wal_keep_size)", long: true, epochs: []string{"slot_lost", "slot_missing", "slot_ahead"}, strike: (*faults).loseSlot},
	{name: "commits held", long: true, strike: (*faults).holdCommits},
	{name: "200 ms latency to both servers", long: true, strike: (*faults).delay},
	{name: "64 KB/s to both servers", long: true, strike: (*faults).narrow},
	{name: "primary restarted (immediate)", long: true, down: true, strike: (*faults).crashPrimary},
	{name: "primary replaced by its promoted standby", epochs: []string{"timeline"}, down: true, strike: (*faults).failOver},
}

// snapshotFile is what Redis loads when it starts, if there is one.
const snapshotFile = "old.rdb"

// outlast is longer than max_lag, so that proofs run out.
const outlast = 2 * time.Second

// away keeps the clients from asking a proxy that can't answer.
func (m *member) away() *rig { return m.proxy.Swap(nil) }

func (f *faults) killLeader() {
	m := f.leader()
	m.away().kill()
	f.leader() // another
	p := f.startPeer(m.config)
	p.ready()
	m.proxy.Store(p)
}

func (f *faults) stopLeader() {
	m := f.leader()
	p := m.away()
	p.suspend()
	f.lasts(f.stopped)
	m.proxy.Store(p) // requests wait for it to go on
	p.resume()
}

// unproven tells whether a proxy sends requests to the origin for want of a
// proof of freshness.
func (f *faults) unproven(m *member) bool {
	p := m.proxy.Load()
	p.host = oracleHost
	got, err := p.try("/api/listings/1")
	return err == nil && strings.Contains(got.header.Get("Cache-Status"), "fwd=bypass")
}

func (f *faults) cutFollowerOffRedis() {
	m := f.follower()
	m.redis.cut()
	f.eventually("the follower has no proof", func() bool { return f.unproven(m) || m.proxy.Load().leads() })
	m.redis.mend()
}

// cutLeaderOffRedis: the followers know nothing any more, the leader goes on.
func (f *faults) cutLeaderOffRedis() {
	leader := f.leader()
	leader.redis.cut()
	for _, m := range f.members {
		if m != leader {
			f.eventually("the followers have no proof", func() bool { return f.unproven(m) || !leader.proxy.Load().leads() })
		}
	}
	leader.redis.mend()
}

func (f *faults) cutOffPostgres() {
	f.eachPostgres((*cable).cut)
	for _, m := range f.members {
		f.eventually("nobody has a proof", func() bool { return f.unproven(m) })
	}
	f.eachPostgres((*cable).mend)
}

func (f *faults) eachPostgres(do func(*cable)) {
	for _, m := range f.members {
		do(m.postgres)
	}
}

func (f *faults) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *faults) stopRedis() {
	f.must(f.redis.Pause())
	f.lasts(outlast)
	f.must(f.redis.Resume())
}

func (f *faults) emptyRedis() {
	f.must(f.redis.Kill())
	f.must(os.RemoveAll(filepath.Join(f.redis.Dir(), snapshotFile)))
	f.must(f.redis.Start(f.t.Context()))
}

func (f *faults) restoreRedis() {
	f.must(f.stream.Save(f.t.Context()).Err())
	f.relayed(50)
	f.must(f.redis.Kill())
	f.must(f.redis.Start(f.t.Context()))
}

// relayKey is the stream's.
func (f *faults) relayKey() string {
	slot := slotName(f.dbURL)
	return fmt.Sprintf("%s:relay:%s:%s", slot, "postgres", slot)
}

// relayed waits until the leader has written so many entries more.
func (f *faults) relayed(more int64) {
	f.t.Helper()
	last := func() (seq int64) {
		newest, err := f.stream.XRevRangeN(f.t.Context(), f.relayKey(), "+", "-", 1).Result()
		if err == nil && len(newest) == 1 {
			_, _ = fmt.Sscan(strings.TrimSuffix(newest[0].ID, "-0"), &seq)
		}
		return seq
	}
	before := last()
	f.eventually("entries of the relay", func() bool { return last() >= before+more })
}

func (f *faults) trimStream() {
	m := f.follower()
	p := m.away()
	p.suspend()
	f.relayed(50)
	// Two remain: the leader looks whether the one before the last is there.
	f.must(f.stream.XTrimMaxLen(f.t.Context(), f.relayKey(), 2).Err())
	m.proxy.Store(p)
	p.resume()
}

// onSlot runs a statement until it finds the slot and succeeds.
func (f *faults) onSlot(what, sql string) {
	f.t.Helper()
	f.eventually(what, func() bool {
		done, err := f.db.Exec(f.t.Context(), sql, slotName(f.dbURL))
		return err == nil && done.RowsAffected() == 1
	})
}

func (f *faults) dropSlot() {
	f.onSlot("the slot can be dropped", `select pg_terminate_backend(active_pid), pg_drop_replication_slot(slot_name)
		from pg_replication_slots where slot_name = $1`)
}

// replaceSlot leaves nobody the time to see that the slot is missing.
func (f *faults) replaceSlot() {
	f.onSlot("the slot can be replaced", `select pg_terminate_backend(active_pid), pg_drop_replication_slot(slot_name),
		pg_create_logical_replication_slot(slot_name, 'pgoutput') from pg_replication_slots where slot_name = $1`)
}

func (f *faults) loseSlot() {
	f.must(f.postgres.Set(f.t.Context(), "max_slot_wal_keep_size", "1MB"))
	f.eachPostgres((*cable).cut)
	f.eventually("the slot is lost", func() bool {
		for _, sql := range []string{"select pg_switch_wal()", "checkpoint"} {
			if _, err := f.db.Exec(f.t.Context(), sql); err != nil {
				return false
			}
		}
		var status string
		err := f.db.QueryRow(f.t.Context(), `select wal_status from pg_replication_slots where slot_name = $1`, slotName(f.dbURL)).Scan(&status)
		return err == nil && status == "lost" || errors.Is(err, pgx.ErrNoRows)
	})
	f.must(f.postgres.Set(f.t.Context(), "max_slot_wal_keep_size", "-1"))
	f.eachPostgres((*cable).mend)
}

// holdCommits keeps commits decoded and invisible: they wait for a standby
// that doesn't exist.
func (f *faults) holdCommits() {
	f.leader()
	f.must(f.postgres.Set(f.t.Context(), "synchronous_standby_names", "nobody"))
	f.eventually("a commit is pending, or held where nobody can begin to lead", func() bool {
		led := false
		for _, m := range f.members {
			s := m.proxy.Load().status()
			if led = led || s.Position.Connected; s.Position.Pending > 0 {
				return true
			}
		}
		return !led
	})
	f.lasts(outlast)
	f.must(f.postgres.Set(f.t.Context(), "synchronous_standby_names", ""))
}

func (f *faults) delay() {
	f.hinder(func(c *cable) { c.slow(100*time.Millisecond, 20*time.Millisecond) }) // each way
}

func (f *faults) narrow() { f.hinder(func(c *cable) { c.narrow(64) }) }

// hinder does something to every cable of the proxies.
func (f *faults) hinder(how func(*cable)) {
	for _, m := range f.members {
		how(m.postgres)
		how(m.redis)
	}
	f.lasts(outlast)
	for _, m := range f.members {
		m.postgres.flow()
		m.redis.flow()
	}
}

func (f *faults) crashPrimary() {
	f.must(f.postgres.Stop("immediate"))
	f.must(f.postgres.Start(f.t.Context()))
}

// failOver replaces the primary. It is stopped in order, so that the standby
// has every commit; the proxies find the standby while it still is one.
func (f *faults) failOver() {
	old, standby := f.postgres, testbed.NewStandby(f.t, f.postgres)
	f.eventually("the standby streams", func() bool {
		var n int
		err := f.db.QueryRow(f.t.Context(), `select count(*) from pg_stat_replication where state = 'streaming'
			and pid not in (select active_pid from pg_replication_slots where active_pid is not null)`).Scan(&n)
		return err == nil && n == 1
	})
	f.must(old.Stop("fast"))
	f.eachPostgres(func(c *cable) { c.lead(standby.URL("postgres")) })
	f.must(standby.Promote(f.t.Context()))
	f.primary.lead(standby.URL("postgres"))
	f.postgres = standby
	f.must(old.Close())
}
