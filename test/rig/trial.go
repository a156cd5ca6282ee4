package rig

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

// OracleRoutes are the rig's, and each of them once more as a strict one
// below /strict.
var OracleRoutes = Routes + strings.NewReplacer("routes:\n", "", "/api", "/strict/api", "depends_on:", "consistency: strict\n    depends_on:").Replace(strings.TrimPrefix(Routes, "\n"))

// Member is a place for a proxy among several.
type Member struct {
	Proxy atomic.Pointer[Rig] // nil while nobody shall ask it
	Hits  atomic.Int64

	Config   string // of the process that stands there
	Postgres *Cable // nil: nothing between
	Redis    *Cable

	mu struct {
		sync.Mutex
		last    time.Time     // hit
		longest time.Duration // without a hit
	}
}

// Members are places with these proxies in them.
func Members(proxies ...*Rig) []*Member {
	var all []*Member
	for _, p := range proxies {
		m := &Member{}
		m.Proxy.Store(p)
		m.mu.last = time.Now()
		all = append(all, m)
	}
	return all
}

// Away keeps the clients from asking a proxy that can't answer, and returns it.
func (m *Member) Away() *Rig { return m.Proxy.Swap(nil) }

// hit notes that the proxy has answered from its cache.
func (m *Member) hit() {
	m.Hits.Add(1)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.longest = max(m.mu.longest, time.Since(m.mu.last))
	m.mu.last = time.Now()
}

// Silence returns the longest time without a hit since it was asked last.
func (m *Member) Silence() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	longest := max(m.mu.longest, time.Since(m.mu.last))
	m.mu.longest = 0
	return longest
}

// Crew is how many clients of each kind are at work.
type Crew struct {
	Plain    int
	carriers int // they write through the proxies and carry the positions that they get
	strict   int
}

// MixedCrew has some of each kind.
var MixedCrew = Crew{Plain: 2, carriers: 4, strict: 2}

// Trial is writers and clients at work on some proxies. Whatever a client is
// shown is held against the oracle at once, and what strict clients and
// carriers do is recorded.
type Trial struct {
	*Rig    // database and origin
	Members []*Member
	crew    Crew
	o       *oracle
	board   board
	group   *errgroup.Group
	Began   time.Time
	ended   atomic.Bool
	Down    atomic.Bool // the primary is, or was a moment ago: the origin may fail

	versions string       // the JSON member that they stand in
	latest   atomic.Int64 // the listing that has changed last

	LeastHits int64 // of strict clients and of carriers, each: stop waits for so many, JudgeHistories asks for them

	Spellings int // in how many ways plain clients ask for a listing, so that there are more responses; 0: in one

	strictOps  History // of the writers and the strict clients
	carriedOps History // of the carriers

	Responses, Hits, RedisHits, strictHits, carriedHits, Changes atomic.Int64
	violations, failures, Excused                                atomic.Int64
}

// TrialOf is how long a trial works and how many responses it needs at least:
// what it is given, or ten seconds' worth of that in short tests. make test has
// no more time for each; make soak takes all of it.
func TrialOf(duration time.Duration, least int64) (time.Duration, int64) {
	if testbed.Short() {
		return min(duration, 10*time.Second), min(least, 1000)
	}
	return duration, least
}

// NewTrial fills the rig's database and waits until each proxy knows of it. Nobody is at work yet.
func NewTrial(r *Rig, all []*Member, c Crew) *Trial {
	tr := &Trial{Rig: r, Members: all, crew: c, versions: "title", o: &oracle{owners: oracleWriters + c.carriers}}
	tr.o.fill(r)
	for _, m := range all {
		p := m.Proxy.Load()
		p.Eventually("the proxy knows the listings", func() bool { return p.watermark() > 0 })
	}
	return tr
}

// NameAgents moves the versions into the names of agents, one for each listing. A change is a
// new name from then on, and nothing of the listing changes but where it is, now and then.
func (tr *Trial) NameAgents() {
	tr.T.Helper()
	tr.Exec(`insert into agents (id, name) select id, title from listings`)
	tr.Exec(`update listings set agent_id = id, title = 'x'`)
	tr.versions = "name"
}

// Run works for as long as duration, and until there are so many responses. A
// slow machine, or one that others use as well, takes up to ten times as long.
func (tr *Trial) Run(duration time.Duration, least int64) {
	tr.T.Helper()
	tr.Start()
	limit := time.After(10 * duration)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for time.Since(tr.Began) < duration || tr.Responses.Load() < least {
		select {
		case <-tick.C:
			continue
		case <-limit:
			tr.T.Errorf("%d responses, want at least %d", tr.Responses.Load(), least)
		}
		break
	}
	tr.Stop()
}

// haveHits tells whether strict clients and carriers have as many hits as their histories need.
func (tr *Trial) haveHits() bool {
	return min(tr.strictHits.Load(), tr.carriedHits.Load()) >= tr.hitsNeeded()
}

// hitsNeeded is LeastHits, or one in short tests.
func (tr *Trial) hitsNeeded() int64 {
	if testbed.Short() {
		return min(tr.LeastHits, 1)
	}
	return tr.LeastHits
}

// Start sets everybody to work.
func (tr *Trial) Start() {
	strict := func(_ http.ResponseWriter, req *http.Request) bool {
		req.URL.Path = strings.TrimPrefix(req.URL.Path, "/strict")
		return false
	}
	tr.Rig.Hook.Store(&strict)
	ctx, cancel := context.WithCancel(context.Background())
	tr.T.Cleanup(func() {
		tr.ended.Store(true)
		cancel()
		_ = tr.group.Wait()
	})
	tr.Began = time.Now()
	tr.strictOps.Began, tr.carriedOps.Began = tr.Began, tr.Began
	tr.group, ctx = errgroup.WithContext(ctx)
	for w := range oracleWriters {
		tr.group.Go(func() error { return tr.write(ctx, w) })
	}
	for _, m := range tr.Members {
		tr.group.Go(func() error { return tr.watch(m) })
	}
	n := 0
	for kind, count := range []int{plainClient: tr.crew.Plain, carrier: tr.crew.carriers, strictClient: tr.crew.strict} {
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

// Stop ends the work and waits for it. Where machines are slow, it takes longer
// until there are the hits that JudgeHistories needs: two minutes at most.
func (tr *Trial) Stop() {
	tr.T.Helper()
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
		tr.T.Fatal(err)
	}
}

// Judge looks at the counts. least is the share of hits without which the trial
// would show little.
func (tr *Trial) Judge(least float64) {
	tr.T.Helper()
	n := tr.Responses.Load()
	testbed.Measured(tr.T, "%d responses in %.0f s, %.1f %% hits, %.1f %% from Redis, %d changes, %d violations, %d failed",
		n, time.Since(tr.Began).Seconds(), 100*float64(tr.Hits.Load())/float64(n), 100*float64(tr.RedisHits.Load())/float64(n), tr.Changes.Load(), tr.violations.Load(), tr.failures.Load())
	if float64(tr.Hits.Load()) < least*float64(n) {
		tr.T.Errorf("only %d of %d responses were hits; the test needs hits", tr.Hits.Load(), n)
	}
}

// violated reports a response that should not have been, and failed one that
// should have been.
func (tr *Trial) violated(format string, args ...any) {
	if tr.violations.Add(1) <= 10 {
		tr.T.Errorf(format, args...)
	}
}

func (tr *Trial) failed(format string, args ...any) {
	if tr.failures.Add(1) <= 10 {
		tr.T.Errorf(format, args...)
	}
}

// watch notes the watermarks that a proxy reports.
func (tr *Trial) watch(m *Member) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !tr.ended.Load() {
		<-tick.C
		if p := m.Proxy.Load(); p != nil {
			if at := p.watermark(); at != 0 {
				p.mark.Store(at)
			}
		}
	}
	return nil
}

// write changes the listings that belong to writer w.
func (tr *Trial) write(ctx context.Context, w int) error {
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
			if conn, err = pgx.Connect(ctx, tr.DBURL); err != nil {
				if conn = nil; !tr.Down.Load() {
					return err
				}
				continue
			}
		}
		if err := tr.change(ctx, conn, w, rnd); err != nil {
			if !tr.Down.Load() {
				return err
			}
			_ = conn.Close(ctx)
		}
	}
	return nil
}

// change commits the next version of one of the listings of writer w.
func (tr *Trial) change(ctx context.Context, conn *pgx.Conn, w int, rnd *rand.Rand) error {
	id, next := tr.o.intend(w, rnd)
	if next.number == 0 {
		return nil
	}
	in, called := RegisterInput{Listing: id, Version: next.number, Write: true}, tr.strictOps.Now()
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
	tr.strictOps.Add(w, in, called, 0)
	tr.Changes.Add(1)
	tr.latest.Store(int64(id))
	var lsn int64
	if err := conn.QueryRow(ctx, `select (pg_current_wal_insert_lsn() - '0/0')::bigint`).Scan(&lsn); err != nil {
		tr.o.committed(id, at, 1<<64-1)
		return err
	}
	tr.o.committed(id, at, uint64(lsn))
	return nil
}

// JudgeHistories checks what strict clients and carriers have recorded. With
// fewer hits than LeastHits that would show little.
func (tr *Trial) JudgeHistories() {
	tr.T.Helper()
	if tr.LeastHits == 0 {
		tr.T.Error("how many hits does the trial need?")
	}
	for _, each := range []struct {
		name  string
		model porcupine.Model
		h     *History
		hits  int64
	}{
		{"strict reads are linearizable", Registers(1), &tr.strictOps, tr.strictHits.Load()},
		{"nobody reads what is older than the position carried", floors(), &tr.carriedOps, tr.carriedHits.Load()},
	} {
		result := porcupine.CheckOperationsTimeout(each.model, each.h.Ops, time.Minute)
		testbed.Measured(tr.T, "%s: %d operations, %d hits: %s", each.name, len(each.h.Ops), each.hits, result)
		if result != porcupine.Ok {
			tr.T.Errorf("%s: %s", each.name, result)
		}
		if each.hits < tr.hitsNeeded() {
			tr.T.Errorf("%s: only %d hits: the test needs them", each.name, each.hits)
		}
	}
}
