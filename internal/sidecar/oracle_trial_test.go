package sidecar

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"walpurge/dev/testbed"
)

// oracleRoutes are the rig's, and each of them once more as a strict one
// below /strict.
var oracleRoutes = rigRoutes + strings.NewReplacer("routes:\n", "", "/api", "/strict/api", "depends_on:", "consistency: strict\n    depends_on:").Replace(strings.TrimPrefix(rigRoutes, "\n"))

// member is a place for a proxy among several.
type member struct {
	proxy atomic.Pointer[rig] // nil while nobody shall ask it
	hits  atomic.Int64

	config   string // of the process that stands there
	postgres *cable // nil: nothing between
	redis    *cable

	mu struct {
		sync.Mutex
		last    time.Time     // hit
		longest time.Duration // without a hit
	}
}

func members(proxies ...*rig) []*member {
	var all []*member
	for _, p := range proxies {
		m := &member{}
		m.proxy.Store(p)
		m.mu.last = time.Now()
		all = append(all, m)
	}
	return all
}

// hit notes that the proxy has answered from its cache.
func (m *member) hit() {
	m.hits.Add(1)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.longest = max(m.mu.longest, time.Since(m.mu.last))
	m.mu.last = time.Now()
}

// silence returns the longest time without a hit since it was asked last.
func (m *member) silence() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	longest := max(m.mu.longest, time.Since(m.mu.last))
	m.mu.longest = 0
	return longest
}

// crew is how many clients of each kind are at work.
type crew struct {
	plain    int
	carriers int // they write through the proxies and carry the positions that they get
	strict   int
}

var mixedCrew = crew{plain: 2, carriers: 4, strict: 2}

// trial is writers and clients at work on some proxies. Whatever a client is
// shown is held against the oracle at once, and what strict clients and
// carriers do is recorded.
type trial struct {
	*rig    // database and origin
	members []*member
	crew    crew
	o       *oracle
	board   board
	group   *errgroup.Group
	began   time.Time
	ended   atomic.Bool
	down    atomic.Bool // the primary is, or was a moment ago: the origin may fail

	versions string       // the JSON member that they stand in
	latest   atomic.Int64 // the listing that has changed last

	leastHits int64 // of strict clients and of carriers, each: stop waits for so many, judgeHistories asks for them

	spellings int // in how many ways plain clients ask for a listing, so that there are more responses; 0: in one

	strictOps  history // of the writers and the strict clients
	carriedOps history // of the carriers

	responses, hits, redisHits, strictHits, carriedHits, changes atomic.Int64
	violations, failures, excused                                atomic.Int64
}

// trialOf is how long a trial works and how many responses it needs at least:
// what it is given, or ten seconds' worth of that in short tests. make test has
// no more time for each; make soak takes all of it.
func trialOf(duration time.Duration, least int64) (time.Duration, int64) {
	if testbed.Short() {
		return min(duration, 10*time.Second), min(least, 1000)
	}
	return duration, least
}

func newTrial(r *rig, all []*member, c crew) *trial {
	tr := &trial{rig: r, members: all, crew: c, versions: "title", o: &oracle{owners: oracleWriters + c.carriers}}
	tr.o.fill(r)
	for _, m := range all {
		p := m.proxy.Load()
		p.eventually("the proxy knows the listings", func() bool { return p.watermark() > 0 })
	}
	return tr
}

// nameAgents moves the versions into the names of agents, one for each listing. A change is a
// new name from then on, and nothing of the listing changes but where it is, now and then.
func (tr *trial) nameAgents() {
	tr.t.Helper()
	tr.exec(`insert into agents (id, name) select id, title from listings`)
	tr.exec(`update listings set agent_id = id, title = 'x'`)
	tr.versions = "name"
}

// run works for as long as duration, and until there are so many responses.
func (tr *trial) run(duration time.Duration, least int64) {
	tr.t.Helper()
	tr.start()
	limit := time.After(5 * duration)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for time.Since(tr.began) < duration || tr.responses.Load() < least {
		select {
		case <-tick.C:
			continue
		case <-limit:
			tr.t.Errorf("%d responses, want at least %d", tr.responses.Load(), least)
		}
		break
	}
	tr.stop()
}

// haveHits tells whether strict clients and carriers have as many hits as their histories need.
func (tr *trial) haveHits() bool {
	return min(tr.strictHits.Load(), tr.carriedHits.Load()) >= tr.hitsNeeded()
}

// hitsNeeded is leastHits, or one in short tests.
func (tr *trial) hitsNeeded() int64 {
	if testbed.Short() {
		return min(tr.leastHits, 1)
	}
	return tr.leastHits
}

// start sets everybody to work.
func (tr *trial) start() {
	strict := func(_ http.ResponseWriter, req *http.Request) bool {
		req.URL.Path = strings.TrimPrefix(req.URL.Path, "/strict")
		return false
	}
	tr.rig.hook.Store(&strict)
	ctx, cancel := context.WithCancel(context.Background())
	tr.t.Cleanup(func() {
		tr.ended.Store(true)
		cancel()
		_ = tr.group.Wait()
	})
	tr.began = time.Now()
	tr.strictOps.began, tr.carriedOps.began = tr.began, tr.began
	tr.group, ctx = errgroup.WithContext(ctx)
	for w := range oracleWriters {
		tr.group.Go(func() error { return tr.write(ctx, w) })
	}
	for _, m := range tr.members {
		tr.group.Go(func() error { return tr.watch(m) })
	}
	n := 0
	for kind, count := range []int{plainClient: tr.crew.plain, carrier: tr.crew.carriers, strictClient: tr.crew.strict} {
		for i := range count {
			c := newOracleClient(tr, clientKind(kind), oracleWriters+n, oracleWriters+i)
			tr.group.Go(func() error {
				c.work(ctx)
				return nil
			})
			n++
		}
	}
}

// stop ends the work and waits for it. Where machines are slow, it takes longer
// until there are the hits that judgeHistories needs: two minutes at most.
func (tr *trial) stop() {
	tr.t.Helper()
	limit := time.After(2 * time.Minute)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for waiting := true; waiting && !tr.haveHits(); {
		select {
		case <-tick.C:
		case <-limit:
			waiting = false
		}
	}
	tr.ended.Store(true)
	if err := tr.group.Wait(); err != nil {
		tr.t.Fatal(err)
	}
}

// judge looks at the counts. least is the share of hits without which the trial
// would show little.
func (tr *trial) judge(least float64) {
	tr.t.Helper()
	n := tr.responses.Load()
	testbed.Measured(tr.t, "%d responses in %.0f s, %.1f %% hits, %.1f %% from Redis, %d changes, %d violations, %d failed",
		n, time.Since(tr.began).Seconds(), 100*float64(tr.hits.Load())/float64(n), 100*float64(tr.redisHits.Load())/float64(n), tr.changes.Load(), tr.violations.Load(), tr.failures.Load())
	if float64(tr.hits.Load()) < least*float64(n) {
		tr.t.Errorf("only %d of %d responses were hits; the test needs hits", tr.hits.Load(), n)
	}
}

// violated reports a response that should not have been, and failed one that
// should have been.
func (tr *trial) violated(format string, args ...any) {
	if tr.violations.Add(1) <= 10 {
		tr.t.Errorf(format, args...)
	}
}

func (tr *trial) failed(format string, args ...any) {
	if tr.failures.Add(1) <= 10 {
		tr.t.Errorf(format, args...)
	}
}

// watch notes the watermarks that a proxy reports.
func (tr *trial) watch(m *member) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !tr.ended.Load() {
		<-tick.C
		if p := m.proxy.Load(); p != nil {
			if at := p.watermark(); at != 0 {
				p.mark.Store(at)
			}
		}
	}
	return nil
}

// write changes the listings that belong to writer w.
func (tr *trial) write(ctx context.Context, w int) error {
	var conn *pgx.Conn
	defer func() {
		if conn != nil {
			_ = conn.Close(context.WithoutCancel(ctx))
		}
	}()
	rnd := rand.New(rand.NewPCG(2, uint64(w)))
	pace := time.NewTicker(20 * time.Millisecond)
	defer pace.Stop()
	for !tr.ended.Load() {
		<-pace.C
		if conn == nil || conn.IsClosed() {
			var err error
			if conn, err = pgx.Connect(ctx, tr.dbURL); err != nil {
				if conn = nil; !tr.down.Load() {
					return err
				}
				continue
			}
		}
		if err := tr.change(ctx, conn, w, rnd); err != nil {
			if !tr.down.Load() {
				return err
			}
			_ = conn.Close(ctx)
		}
	}
	return nil
}

// change commits the next version of one of the listings of writer w.
func (tr *trial) change(ctx context.Context, conn *pgx.Conn, w int, rnd *rand.Rand) error {
	id, next := tr.o.intend(w, rnd)
	if next.number == 0 {
		return nil
	}
	in, called := registerInput{listing: id, version: next.number, write: true}, tr.strictOps.now()
	sql := `update listings set title = $2, city = $3 where id = $1`
	if tr.versions == "name" {
		sql = `with named as (update agents set name = $2 where id = $1)
			update listings set city = $3 where id = $1 and city <> $3`
	}
	if _, err := conn.Exec(ctx, sql, id, versionTitle(next.number), cityName(next.city)); err != nil {
		tr.o.lost(id)
		tr.strictOps.lost(w, in, called)
		return err
	}
	at := time.Now()
	tr.strictOps.add(w, in, called, 0)
	tr.changes.Add(1)
	tr.latest.Store(int64(id))
	var lsn int64
	if err := conn.QueryRow(ctx, `select (pg_current_wal_insert_lsn() - '0/0')::bigint`).Scan(&lsn); err != nil {
		tr.o.committed(id, at, 1<<64-1)
		return err
	}
	tr.o.committed(id, at, uint64(lsn))
	return nil
}

// judgeHistories checks what strict clients and carriers have recorded. With
// fewer hits than leastHits that would show little.
func (tr *trial) judgeHistories() {
	tr.t.Helper()
	if tr.leastHits == 0 {
		tr.t.Error("how many hits does the trial need?")
	}
	for _, each := range []struct {
		name  string
		model porcupine.Model
		h     *history
		hits  int64
	}{
		{"strict reads are linearizable", registers(1), &tr.strictOps, tr.strictHits.Load()},
		{"nobody reads what is older than the position carried", floors(), &tr.carriedOps, tr.carriedHits.Load()},
	} {
		result := porcupine.CheckOperationsTimeout(each.model, each.h.ops, time.Minute)
		testbed.Measured(tr.t, "%s: %d operations, %d hits: %s", each.name, len(each.h.ops), each.hits, result)
		if result != porcupine.Ok {
			tr.t.Errorf("%s: %s", each.name, result)
		}
		if each.hits < tr.hitsNeeded() {
			tr.t.Errorf("%s: only %d hits: the test needs them", each.name, each.hits)
		}
	}
}
