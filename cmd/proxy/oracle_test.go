package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/valyala/fasthttp"
	"golang.org/x/sync/errgroup"

	"walpurge/internal/testbed"
)

// The oracle's workload. Every listing carries its version in its title, and
// one writer owns it, so its versions are committed in order.
const (
	oracleListings = 120
	oracleCities   = 6
	oracleWriters  = 4
	oracleReaders  = 6
)

// oracle knows every committed version of every listing.
type oracle struct {
	listings [oracleListings + 1]oracleListing
	marks    []atomic.Uint64 // for each proxy, a watermark that it has reported
}

type oracleListing struct {
	mu       sync.Mutex
	versions []oracleVersion // in the order of their commits
}

// oracleVersion is one committed version. Its commit record ends at or before
// lsn and its commit had returned at the time committed.
type oracleVersion struct {
	number    int
	city      int
	lsn       uint64
	committed time.Time
}

// since returns the versions that a response may show whose request starts
// now: the last one settled, and everything after it.
//
// Settled is what the proxy says it has applied and found visible: the commit
// ends at or before its watermark. A version older than the last settled one
// is a violation, and so is one that was replaced more than maxLag ago.
func (o *oracle) since(id int, mark uint64, before time.Time) (oldest int) {
	l := &o.listings[id]
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(l.versions) - 1; i >= 0; i-- {
		if v := l.versions[i]; v.lsn <= mark || v.committed.Before(before) {
			return v.number
		}
	}
	return 0
}

// stays tells whether the listing is in city in every version from oldest on.
// An update under way may still move it, so a writer notes its intention first.
func (o *oracle) stays(id, city, oldest int) bool {
	l := &o.listings[id]
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := false
	for _, v := range l.versions {
		if v.number >= oldest {
			seen = true
			if v.city != city {
				return false
			}
		}
	}
	return seen
}

func cityName(i int) string { return "City" + strconv.Itoa(i) }

// TestOracle runs writers and readers through the proxy for a minute. A
// response may never be older than what was settled before its request.
func TestOracle(t *testing.T) {
	duration, least := time.Minute, int64(500_000)
	if testing.Short() {
		duration, least = 5*time.Second, 1000
	}
	runOracle(t, newRig(t, rigOptions{redis: testbed.SharedRedis(t)}), duration, least, nil)
}

// TestOracleTwoProxies does so with two proxies, and readers that jump from
// one to the other. What one proxy has settled binds that one; that a change
// shows everywhere within max_lag binds both.
func TestOracleTwoProxies(t *testing.T) {
	duration, least := 20*time.Second, int64(50_000)
	if testing.Short() {
		duration, least = 5*time.Second, 1000
	}
	r := newRig(t, rigOptions{redis: testbed.SharedRedis(t), proxies: 2})
	runOracle(t, r, duration, least, nil)
	if n := r.metric("walpurge_epochs_total") + r.peers[0].metric("walpurge_epochs_total"); n != 2 {
		t.Errorf("%v epochs, want the first of each proxy", n)
	}
}

// TestOracleThroughFaults does so while the slot passes from one proxy to the
// other, Redis loses everything, and the slot is dropped.
func TestOracleThroughFaults(t *testing.T) {
	duration, least := 15*time.Second, int64(20_000)
	if testing.Short() {
		duration, least = 9*time.Second, 1000
	}
	server := testbed.NewRedis(t)
	r := newRig(t, rigOptions{redis: server.URL(), proxies: 2})
	proxies := append([]*rig{r}, r.peers...)
	const terminate = `select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = $1`
	const drop = `select pg_terminate_backend(active_pid), pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = $1`
	epochs := func() (n float64) {
		for _, p := range proxies {
			n += p.metric("walpurge_epochs_total")
		}
		return n
	}
	faults := func() {
		led := func() { r.eventually("somebody leads", func() bool { return r.leads() || r.peers[0].leads() }) }
		sessions := func() int { return r.status().Position.Sessions + r.peers[0].status().Position.Sessions }
		for range 3 {
			led()
			before := sessions()
			r.exec(terminate, slotName(r.dbURL))
			r.eventually("the next session", func() bool { return sessions() > before })
		}
		led()
		before := epochs()
		if err := server.Kill(); err != nil {
			t.Error(err)
		}
		if err := server.Start(t.Context()); err != nil {
			t.Error(err)
		}
		r.eventually("a new epoch on both", func() bool { return epochs() >= before+2 })
		led()
		before = epochs()
		r.eventually("the slot can be dropped", func() bool {
			_, err := r.db.Exec(t.Context(), drop, slotName(r.dbURL))
			return err == nil
		})
		r.eventually("a new epoch on both", func() bool { return epochs() >= before+2 })
	}
	runOracle(t, r, duration, least, faults)
}

// runOracle runs it on a rig and its peers. meanwhile, if any, runs beside it.
func runOracle(t *testing.T, r *rig, duration time.Duration, least int64, meanwhile func()) {
	t.Helper()
	proxies := append([]*rig{r}, r.peers...)
	o := &oracle{marks: make([]atomic.Uint64, len(proxies))}
	for id := 1; id <= oracleListings; id++ {
		r.insert(id, "v1", cityName(id%oracleCities), "house", id%5, "100")
		o.listings[id].versions = []oracleVersion{{number: 1, city: id % oracleCities, committed: time.Now()}}
	}
	r.caughtUp()

	ctx, cancel := context.WithTimeout(t.Context(), 5*duration)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	var changes, responses, hits, violations atomic.Int64
	started := time.Now()
	done := func() bool {
		return ctx.Err() != nil || time.Since(started) >= duration && responses.Load() >= least
	}
	for w := range oracleWriters {
		g.Go(func() error { return o.write(ctx, r.dbURL, w, done, &changes) })
	}
	for i, p := range proxies {
		g.Go(func() error {
			for !done() {
				o.marks[i].Store(p.watermark())
			}
			return nil
		})
	}
	if meanwhile != nil {
		g.Go(func() error {
			meanwhile()
			return nil
		})
	}
	for n := range oracleReaders {
		g.Go(func() error {
			rd := &oracleReader{o: o, proxies: proxies, rnd: rand.New(rand.NewPCG(1, uint64(n)))}
			rd.c.ReadTimeout = 30 * time.Second
			for !done() {
				bad, hit, err := rd.read()
				if err != nil {
					return err
				}
				responses.Add(1)
				if hit {
					hits.Add(1)
				}
				if bad != "" && violations.Add(1) <= 10 {
					t.Error(bad)
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	n := responses.Load()
	testbed.Measured(t, "%d responses in %.0f s, %.1f %% hits, %d changes, %d violations",
		n, time.Since(started).Seconds(), 100*float64(hits.Load())/float64(n), changes.Load(), violations.Load())
	if n < least {
		t.Errorf("%d responses, want at least %d", n, least)
	}
	if hits.Load()*2 < n {
		t.Errorf("only %d of %d responses were hits; the test needs hits", hits.Load(), n)
	}
}

// write changes the listings that belong to writer w.
func (o *oracle) write(ctx context.Context, url string, w int, done func() bool, changes *atomic.Int64) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	rnd := rand.New(rand.NewPCG(2, uint64(w)))
	pace := time.NewTicker(20 * time.Millisecond)
	defer pace.Stop()
	for !done() {
		<-pace.C
		id := 1 + rnd.IntN(oracleListings/oracleWriters)*oracleWriters + w
		l := &o.listings[id]
		l.mu.Lock()
		last := l.versions[len(l.versions)-1]
		next := oracleVersion{number: last.number + 1, city: last.city, lsn: 1<<64 - 1, committed: time.Now().Add(time.Hour)}
		if rnd.IntN(4) == 0 {
			next.city = rnd.IntN(oracleCities)
		}
		l.versions = append(l.versions, next) // from here on it may be seen
		l.mu.Unlock()
		if _, err := conn.Exec(ctx, `update listings set title = $2, city = $3 where id = $1`, id, fmt.Sprint("v", next.number), cityName(next.city)); err != nil {
			return err
		}
		committed := time.Now()
		var lsn int64
		if err := conn.QueryRow(ctx, `select (pg_current_wal_insert_lsn() - '0/0')::bigint`).Scan(&lsn); err != nil {
			return err
		}
		l.mu.Lock()
		l.versions[len(l.versions)-1].lsn = uint64(lsn)
		l.versions[len(l.versions)-1].committed = committed
		if len(l.versions) > 2000 { // readers look from the end
			l.versions = append(l.versions[:0], l.versions[1000:]...)
		}
		l.mu.Unlock()
		changes.Add(1)
	}
	return nil
}

type oracleReader struct {
	o       *oracle
	proxies []*rig
	r       *rig // the one asked

	rnd *rand.Rand
	req fasthttp.Request
	rsp fasthttp.Response
	c   fasthttp.Client // its ReadTimeout is set: a request that is never answered is a failure
	min [oracleListings + 1]int
}

// read sends one request and judges its response.
func (rd *oracleReader) read() (violation string, hit bool, err error) {
	const maxLag = time.Second // the configuration's default
	asked := rd.rnd.IntN(len(rd.proxies))
	rd.r = rd.proxies[asked]
	mark, before := rd.o.marks[asked].Load(), time.Now().Add(-maxLag)
	if rd.rnd.IntN(10) > 0 {
		id := 1 + min(int(rd.rnd.ExpFloat64()*20), oracleListings-1)
		oldest := rd.o.since(id, mark, before)
		body, hit, err := rd.get(fmt.Sprintf("/api/listings/%d", id))
		if err != nil {
			return "", false, err
		}
		_, got, _ := nextItem(body)
		if got < oldest {
			return fmt.Sprintf("listing %d shows v%d, v%d was settled: %s", id, got, oldest, rd.rsp.Header.Peek("Cache-Status")), hit, nil
		}
		return "", hit, nil
	}
	city := rd.rnd.IntN(oracleCities)
	for id := 1; id <= oracleListings; id++ {
		rd.min[id] = rd.o.since(id, mark, before)
	}
	body, hit, err := rd.get("/api/listings?page_size=100&city=" + cityName(city))
	if err != nil {
		return "", false, err
	}
	var shown [oracleListings + 1]bool
	for {
		id, got, rest := nextItem(body)
		if id == 0 {
			break
		}
		body = rest
		shown[id] = true
		if got < rd.min[id] {
			return fmt.Sprintf("the list of %s shows listing %d v%d, v%d was settled: %s", cityName(city), id, got, rd.min[id], rd.rsp.Header.Peek("Cache-Status")), hit, nil
		}
	}
	for id := 1; id <= oracleListings; id++ {
		if !shown[id] && rd.min[id] > 0 && rd.o.stays(id, city, rd.min[id]) {
			return fmt.Sprintf("the list of %s lacks listing %d, there since v%d: %s", cityName(city), id, rd.min[id], rd.rsp.Header.Peek("Cache-Status")), hit, nil
		}
	}
	return "", hit, nil
}

func (rd *oracleReader) get(path string) (body []byte, hit bool, err error) {
	rd.req.SetRequestURI(rd.r.url + path)
	rd.req.UseHostHeader = true
	rd.req.Header.SetHost("listings.test") // what one proxy stores in Redis is for all
	rd.rsp.Reset()
	if err := rd.c.Do(&rd.req, &rd.rsp); err != nil {
		return nil, false, err
	}
	if code := rd.rsp.StatusCode(); code != 200 {
		return nil, false, fmt.Errorf("%s: status %d: %s", path, code, rd.rsp.Body())
	}
	return rd.rsp.Body(), bytes.HasPrefix(rd.rsp.Header.Peek("Cache-Status"), []byte("walpurge; hit")), nil
}

// nextItem finds the next listing in a JSON body: its id and its version.
func nextItem(body []byte) (id, version int, rest []byte) {
	const title = `"title":"v`
	at := bytes.Index(body, []byte(title))
	if at < 0 {
		return 0, 0, nil
	}
	from := bytes.LastIndex(body[:at], []byte(`"id":`))
	id = leadingInt(body[from+len(`"id":`):])
	return id, leadingInt(body[at+len(title):]), body[at+len(title):]
}

func leadingInt(b []byte) (n int) {
	for _, c := range b {
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + int(c-'0')
	}
	return n
}
