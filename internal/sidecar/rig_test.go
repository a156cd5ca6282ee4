package sidecar

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"walpurge/dev/testbed"
	"walpurge/internal/origin"
)

// rig is the whole product on real servers: a database with listings, the
// origin, and a proxy in front of it, run by the program's own run.
type rig struct {
	t        testing.TB
	dbURL    string
	db       *pgxpool.Pool
	redis    string // URL; empty: none
	origin   *httptest.Server
	requests atomic.Int64                                                  // that reached the origin
	hook     atomic.Pointer[func(http.ResponseWriter, *http.Request) bool] // true: it has answered
	config   string                                                        // path of the file
	url      string                                                        // of the proxy
	admin    string
	client   *http.Client
	stop     func() error
	peers    []*rig // more proxies on the same database, Redis and origin, each a process
	process  *os.Process
	host     string // what requests name; empty: the proxy's address
	options  rigOptions
	mark     atomic.Uint64 // a watermark that the proxy has reported
	dead     atomic.Bool   // the process has been killed
	logged   *lines        // by the proxy
	queries  *queryLevel   // nil: the origin asks its database each time
}

// rigRoutes declares what the listings service's responses are computed from.
const rigRoutes = `
routes:
  - path: /api/listings/{id}
    depends_on:
      - table: listings
        where: { id: path.id }
      - agents
  - path: /api/listings
    depends_on:
      - table: listings
        where:
          city: query.city
          property_type: lower(query.type)
          bedrooms: query.bedrooms
          price: { from: query.min_price, to: query.max_price }
        columns: [title, price, city, property_type, bedrooms, status, agent_id, created_at]
      - agents
`

type rigOptions struct {
	dbURL   string // default: a fresh database on the shared server
	pgURL   string // what the proxy connects to; default dbURL
	redis   string
	routes  string // default rigRoutes
	extra   string // more configuration
	dbExtra string // more of the section postgres
	pending bool   // don't wait until ready
	proxies int    // how many; all but the first are processes of their own
	queries string // Redis for the origin's query cache; empty: none
	listens string // what the query cache's listener connects to; default dbURL
	away    bool   // no proxy yet: the test starts processes with startPeer
}

// newRig starts everything and waits until the proxy is ready.
func newRig(t testing.TB, o rigOptions) *rig {
	t.Helper()
	ctx := t.Context()
	r := &rig{t: t, dbURL: o.dbURL, redis: o.redis, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	if r.dbURL == "" {
		r.dbURL = testbed.Database(t)
	}
	r.prepare(ctx)
	store, err := origin.Open(ctx, r.dbURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	if o.queries != "" && o.away {
		r.cacheQueries(store, o)
	}
	handler, err := origin.Handler(store, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	r.origin = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.requests.Add(1)
		if hook := r.hook.Load(); hook != nil && (*hook)(w, req) {
			return
		}
		handler.ServeHTTP(w, req)
	}))
	t.Cleanup(r.origin.Close)
	if o.routes == "" {
		o.routes = rigRoutes
	}
	if o.pgURL == "" {
		o.pgURL = r.dbURL
	}
	r.options = o
	r.config = r.configure(o.pgURL, o.redis)
	if o.away {
		return r
	}
	r.start(!o.pending)
	for range o.proxies - 1 {
		r.peers = append(r.peers, r.peer())
	}
	if o.queries != "" { // after the proxy, which so is the leader
		r.cacheQueries(store, o)
	}
	return r
}

// configure writes a proxy's configuration and returns its path.
func (r *rig) configure(pgURL, redisURL string) string {
	r.t.Helper()
	file := fmt.Sprintf("listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\norigin: %s\npostgres:\n  url: %q\n  slot: %s\n%s", r.origin.URL, pgURL, slotName(r.dbURL), r.options.dbExtra)
	if redisURL != "" {
		file += fmt.Sprintf("redis:\n  url: %s\n  namespace: %s\n", redisURL, slotName(r.dbURL))
	}
	path := filepath.Join(r.t.TempDir(), "proxy.yaml")
	if err := os.WriteFile(path, []byte(file+r.options.extra+r.options.routes), 0o600); err != nil {
		r.t.Fatal(err)
	}
	return path
}

// slotName makes a name that no other database's proxy uses.
func slotName(dbURL string) string {
	path, _, _ := strings.Cut(dbURL, "?")
	return "w_" + path[strings.LastIndexByte(path, '/')+1:]
}

func (r *rig) prepare(ctx context.Context) {
	r.t.Helper()
	conn, err := pgx.Connect(ctx, r.dbURL)
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, _, err := origin.Migrate(ctx, conn); err != nil {
		r.t.Fatal(err)
	}
	if _, err := conn.Exec(ctx, `alter table listings replica identity full`); err != nil {
		r.t.Fatal(err)
	}
	cfg, err := pgxpool.ParseConfig(r.dbURL)
	if err != nil {
		r.t.Fatal(err)
	}
	if r.db, err = pgxpool.NewWithConfig(context.WithoutCancel(ctx), cfg); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(r.db.Close)
}

// start runs the proxy and learns its addresses from its log.
func (r *rig) start(wait bool) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	logs, logged := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := Run(ctx, []string{"run", "-config", r.config}, io.Discard, logged)
		logged.CloseWithError(io.EOF)
		ended <- err
	}()
	addresses := make(chan [2]string, 1)
	kept := &lines{}
	r.logged = kept
	go func() {
		var found [2]string
		lines := bufio.NewScanner(logs)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			line := lines.Text()
			if os.Getenv("RIG_LOG") != "" {
				fmt.Fprintln(os.Stderr, line)
			}
			kept.add(line)
			if strings.Contains(line, "msg=listening") {
				found[0], found[1] = logValue(line, "addr"), logValue(line, "admin")
				addresses <- found
			}
		}
	}()
	r.stop = func() error {
		cancel()
		r.stop = func() error { return nil }
		select {
		case err := <-ended:
			return err
		case <-time.After(30 * time.Second):
			return fmt.Errorf("the proxy did not stop within 30 s")
		}
	}
	r.t.Cleanup(func() {
		if err := r.stop(); err != nil {
			r.t.Errorf("stop the proxy: %v", err)
		}
	})
	select {
	case a := <-addresses:
		r.url, r.admin = "http://"+a[0], "http://"+a[1]
	case err := <-ended:
		r.stop = func() error { return nil }
		r.t.Fatalf("the proxy ended: %v", err)
	case <-time.After(20 * time.Second):
		r.t.Fatal("the proxy did not listen within 20 s")
	}
	if wait {
		r.ready()
	}
}

// ready waits until the proxy says that it is.
func (r *rig) ready() {
	r.t.Helper()
	r.eventually("ready", func() bool {
		resp, err := r.client.Get(r.admin + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

func logValue(line, key string) string {
	_, rest, _ := strings.Cut(line, " "+key+"=")
	value, _, _ := strings.Cut(rest, " ")
	return value
}

// eventually waits until ok, for at most 30 s.
func (r *rig) eventually(what string, ok func() bool) {
	r.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			r.t.Fatalf("waited 30 s in vain: %s", what)
		}
	}
}

// reply is a response, read whole.
type reply struct {
	status int
	header http.Header
	body   string
}

// hit tells whether the proxy answered from its cache.
func (p reply) hit() bool {
	return strings.HasPrefix(p.header.Get("Cache-Status"), "walpurge; hit")
}

func (r *rig) get(path string, header ...string) reply {
	r.t.Helper()
	p, err := r.try(path, header...)
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

func (r *rig) try(path string, header ...string) (reply, error) {
	req, err := http.NewRequest("GET", r.url+path, nil)
	if err != nil {
		return reply{}, err
	}
	req.Host = r.host
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(body)}, err
}

// warm asks until the answer is a hit, and returns it.
func (r *rig) warm(paths ...string) {
	r.t.Helper()
	for _, path := range paths {
		var last reply
		r.eventually("a hit of "+path, func() bool {
			last = r.get(path)
			return last.hit()
		})
	}
}

// stillHits fails unless each path is a hit at once.
func (r *rig) stillHits(paths ...string) {
	r.t.Helper()
	for _, path := range paths {
		if p := r.get(path); !p.hit() {
			r.t.Errorf("%s: Cache-Status %q, want a hit", path, p.header.Get("Cache-Status"))
		}
	}
}

// misses fails if any path is a hit.
func (r *rig) misses(paths ...string) {
	r.t.Helper()
	for _, path := range paths {
		if p := r.get(path); p.hit() {
			r.t.Errorf("%s: Cache-Status %q, want a miss", path, p.header.Get("Cache-Status"))
		}
	}
}

func (r *rig) exec(sql string, args ...any) {
	r.t.Helper()
	if _, err := r.db.Exec(r.t.Context(), sql, args...); err != nil {
		r.t.Fatal(err)
	}
}

// caughtUp waits until the proxy has applied and settled everything that is
// committed now.
func (r *rig) caughtUp() {
	r.t.Helper()
	var lsn uint64
	if err := r.db.QueryRow(r.t.Context(), `select (pg_current_wal_insert_lsn() - '0/0')::bigint`).Scan(&lsn); err != nil {
		r.t.Fatal(err)
	}
	r.eventually("the proxy catches up", func() bool { return r.watermark() >= lsn })
}
