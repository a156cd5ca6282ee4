package oracle

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"walpurge/dev/testbed"
	"walpurge/test/rig"
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

func (f *faults) killLeader() {
	m := f.leader()
	m.Away().Kill()
	f.leader() // another
	p := f.StartPeer(m.Config)
	p.Ready()
	m.Proxy.Store(p)
}

func (f *faults) stopLeader() {
	m := f.leader()
	p := m.Away()
	p.Suspend()
	f.lasts(f.stopped)
	m.Proxy.Store(p) // requests wait for it to go on
	p.Resume()
}

// unproven tells whether a proxy sends requests to the origin for want of a
// proof of freshness.
func (f *faults) unproven(m *rig.Member) bool {
	p := m.Proxy.Load()
	p.Host = rig.OracleHost
	got, err := p.Try("/api/listings/1")
	return err == nil && strings.Contains(got.Header.Get("Cache-Status"), "fwd=bypass")
}

func (f *faults) cutFollowerOffRedis() {
	m := f.follower()
	m.Redis.Cut()
	f.Eventually("the follower has no proof", func() bool { return f.unproven(m) || m.Proxy.Load().Leads() })
	m.Redis.Mend()
}

// cutLeaderOffRedis: the followers know nothing any more, the leader goes on.
func (f *faults) cutLeaderOffRedis() {
	leader := f.leader()
	leader.Redis.Cut()
	for _, m := range f.Members {
		if m != leader {
			f.Eventually("the followers have no proof", func() bool { return f.unproven(m) || !leader.Proxy.Load().Leads() })
		}
	}
	leader.Redis.Mend()
}

func (f *faults) cutOffPostgres() {
	f.eachPostgres((*rig.Cable).Cut)
	for _, m := range f.Members {
		f.Eventually("nobody has a proof", func() bool { return f.unproven(m) })
	}
	f.eachPostgres((*rig.Cable).Mend)
}

func (f *faults) eachPostgres(do func(*rig.Cable)) {
	for _, m := range f.Members {
		do(m.Postgres)
	}
}

func (f *faults) must(err error) {
	f.T.Helper()
	if err != nil {
		f.T.Fatal(err)
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
	f.must(f.redis.Start(f.T.Context()))
}

func (f *faults) restoreRedis() {
	f.must(f.stream.Save(f.T.Context()).Err())
	f.relayed(50)
	f.must(f.redis.Kill())
	f.must(f.redis.Start(f.T.Context()))
}

// relayKey is the stream's.
func (f *faults) relayKey() string {
	slot := rig.SlotName(f.DBURL)
	return fmt.Sprintf("%s:relay:%s:%s", slot, "postgres", slot)
}

// relayed waits until the leader has written so many entries more.
func (f *faults) relayed(more int64) {
	f.T.Helper()
	last := func() (seq int64) {
		newest, err := f.stream.XRevRangeN(f.T.Context(), f.relayKey(), "+", "-", 1).Result()
		if err == nil && len(newest) == 1 {
			_, _ = fmt.Sscan(strings.TrimSuffix(newest[0].ID, "-0"), &seq)
		}
		return seq
	}
	before := last()
	f.Eventually("entries of the relay", func() bool { return last() >= before+more })
}

func (f *faults) trimStream() {
	m := f.follower()
	p := m.Away()
	p.Suspend()
	f.relayed(50)
	// Two remain: the leader looks whether the one before the last is there.
	f.must(f.stream.XTrimMaxLen(f.T.Context(), f.relayKey(), 2).Err())
	m.Proxy.Store(p)
	p.Resume()
}

// onSlot runs a statement until it finds the slot and succeeds.
func (f *faults) onSlot(what, sql string) {
	f.T.Helper()
	f.Eventually(what, func() bool {
		done, err := f.DB.Exec(f.T.Context(), sql, rig.SlotName(f.DBURL))
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
	f.must(f.postgres.Set(f.T.Context(), "max_slot_wal_keep_size", "1MB"))
	f.eachPostgres((*rig.Cable).Cut)
	f.Eventually("the slot is lost", func() bool {
		for _, sql := range []string{"select pg_switch_wal()", "checkpoint"} {
			if _, err := f.DB.Exec(f.T.Context(), sql); err != nil {
				return false
			}
		}
		var status string
		err := f.DB.QueryRow(f.T.Context(), `select wal_status from pg_replication_slots where slot_name = $1`, rig.SlotName(f.DBURL)).Scan(&status)
		return err == nil && status == "lost" || errors.Is(err, pgx.ErrNoRows)
	})
	f.must(f.postgres.Set(f.T.Context(), "max_slot_wal_keep_size", "-1"))
	f.eachPostgres((*rig.Cable).Mend)
}

// holdCommits keeps commits decoded and invisible: they wait for a standby
// that doesn't exist.
func (f *faults) holdCommits() {
	f.leader()
	f.must(f.postgres.Set(f.T.Context(), "synchronous_standby_names", "nobody"))
	f.Eventually("a commit is pending, or held where nobody can begin to lead", func() bool {
		led := false
		for _, m := range f.Members {
			s := m.Proxy.Load().Status()
			if led = led || s.Position.Connected; s.Position.Pending > 0 {
				return true
			}
		}
		return !led
	})
	f.lasts(outlast)
	f.must(f.postgres.Set(f.T.Context(), "synchronous_standby_names", ""))
}

func (f *faults) delay() {
	f.hinder(func(c *rig.Cable) { c.Slow(100*time.Millisecond, 20*time.Millisecond) }) // each way
}

func (f *faults) narrow() { f.hinder(func(c *rig.Cable) { c.Narrow(64) }) }

// hinder does something to every cable of the proxies.
func (f *faults) hinder(how func(*rig.Cable)) {
	for _, m := range f.Members {
		how(m.Postgres)
		how(m.Redis)
	}
	f.lasts(outlast)
	for _, m := range f.Members {
		m.Postgres.Flow()
		m.Redis.Flow()
	}
}

func (f *faults) crashPrimary() {
	f.must(f.postgres.Stop("immediate"))
	f.must(f.postgres.Start(f.T.Context()))
}

// failOver replaces the primary. It is stopped in order, so that the standby
// has every commit; the proxies find the standby while it still is one.
func (f *faults) failOver() {
	old, standby := f.postgres, testbed.NewStandby(f.T, f.postgres)
	f.Eventually("the standby streams", func() bool {
		var n int
		err := f.DB.QueryRow(f.T.Context(), `select count(*) from pg_stat_replication where state = 'streaming'
			and pid not in (select active_pid from pg_replication_slots where active_pid is not null)`).Scan(&n)
		return err == nil && n == 1
	})
	f.must(old.Stop("fast"))
	f.eachPostgres(func(c *rig.Cable) { c.Lead(standby.URL("postgres")) })
	f.must(standby.Promote(f.T.Context()))
	f.primary.Lead(standby.URL("postgres"))
	f.postgres = standby
	f.must(old.Close())
}
