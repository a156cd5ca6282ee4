package rig

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
	"walpurge/internal/sidecar"
)

// Rig is the whole product on real servers: a database with listings, the
// origin, and a proxy in front of it, run by [sidecar.Run].
type Rig struct {
	T        testing.TB
	DBURL    string
	DB       *pgxpool.Pool
	Redis    string // URL; empty: none
	Origin   *httptest.Server
	Requests atomic.Int64                                                  // that reached the origin
	Hook     atomic.Pointer[func(http.ResponseWriter, *http.Request) bool] // true: it has answered
	Config   string                                                        // path of the file
	URL      string                                                        // of the proxy
	Admin    string
	Client   *http.Client
	Stop     func() error
	Peers    []*Rig // more proxies on the same database, Redis and origin, each a process
	process  *os.Process
	Host     string // what requests name; empty: the proxy's address
	options  Options
	mark     atomic.Uint64 // a watermark that the proxy has reported
	dead     atomic.Bool   // the process has been killed
	Logged   *Lines        // by the proxy
	Queries  *QueryLevel   // nil: the origin asks its database each time
}

// Routes declares what the listings service's responses are computed from.
const Routes = `
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

// Options are what a rig has beside a database, an origin and one proxy.
type Options struct {
	DBURL   string // default: a fresh database on the shared server
	PgURL   string // what the proxy connects to; default DBURL
	Redis   string
	Routes  string // default Routes
	Extra   string // more configuration
	DBExtra string // more of the section postgres
	Proxies int    // how many; all but the first are processes of their own
	Queries string // Redis for the origin's query cache; empty: none
	Listens string // what the query cache's listener connects to; default DBURL
	Away    bool   // no proxy yet: the test starts processes with StartPeer
}

// New starts everything and waits until the proxy is ready.
func New(t testing.TB, o Options) *Rig {
	t.Helper()
	ctx := t.Context()
	r := &Rig{T: t, DBURL: o.DBURL, Redis: o.Redis, Client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	if r.DBURL == "" {
		r.DBURL = testbed.Database(t)
	}
	r.prepare(ctx)
	store, err := origin.Open(ctx, r.DBURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	if o.Queries != "" && o.Away {
		r.cacheQueries(store, o)
	}
	handler, err := origin.Handler(store, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	r.Origin = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.Requests.Add(1)
		if hook := r.Hook.Load(); hook != nil && (*hook)(w, req) {
			return
		}
		handler.ServeHTTP(w, req)
	}))
	t.Cleanup(r.Origin.Close)
	if o.Routes == "" {
		o.Routes = Routes
	}
	if o.PgURL == "" {
		o.PgURL = r.DBURL
	}
	r.options = o
	r.Config = r.Configure(o.PgURL, o.Redis)
	if o.Away {
		return r
	}
	r.Start(true)
	for range o.Proxies - 1 {
		r.Peers = append(r.Peers, r.Peer())
	}
	if o.Queries != "" { // after the proxy, which so is the leader
		r.cacheQueries(store, o)
	}
	return r
}

// Plain is a proxy before the origin at that URL, without a database: a plain HTTP cache.
func Plain(t testing.TB, origin string) *Rig {
	t.Helper()
	r := &Rig{T: t, Client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	r.Config = filepath.Join(t.TempDir(), "proxy.yaml")
	if err := os.WriteFile(r.Config, []byte("listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\norigin: "+origin+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.Start(true)
	return r
}

// Configure writes a proxy's configuration and returns its path.
func (r *Rig) Configure(pgURL, redisURL string) string {
	r.T.Helper()
	file := fmt.Sprintf("listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\norigin: %s\npostgres:\n  url: %q\n  slot: %s\n%s", r.Origin.URL, pgURL, SlotName(r.DBURL), r.options.DBExtra)
	if redisURL != "" {
		file += fmt.Sprintf("redis:\n  url: %s\n  namespace: %s\n", redisURL, SlotName(r.DBURL))
	}
	path := filepath.Join(r.T.TempDir(), "proxy.yaml")
	if err := os.WriteFile(path, []byte(file+r.options.Extra+r.options.Routes), 0o600); err != nil {
		r.T.Fatal(err)
	}
	return path
}

// SlotName makes a name that no other database's proxy uses.
func SlotName(dbURL string) string {
	path, _, _ := strings.Cut(dbURL, "?")
	return "w_" + path[strings.LastIndexByte(path, '/')+1:]
}

func (r *Rig) prepare(ctx context.Context) {
	r.T.Helper()
	conn, err := pgx.Connect(ctx, r.DBURL)
	if err != nil {
		r.T.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, _, err := origin.Migrate(ctx, conn); err != nil {
		r.T.Fatal(err)
	}
	if _, err := conn.Exec(ctx, `alter table listings replica identity full`); err != nil {
		r.T.Fatal(err)
	}
	cfg, err := pgxpool.ParseConfig(r.DBURL)
	if err != nil {
		r.T.Fatal(err)
	}
	if r.DB, err = pgxpool.NewWithConfig(context.WithoutCancel(ctx), cfg); err != nil {
		r.T.Fatal(err)
	}
	r.T.Cleanup(r.DB.Close)
}

// Start runs the proxy and learns its addresses from its log.
func (r *Rig) Start(wait bool) {
	r.T.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	logs, logged := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := sidecar.Run(ctx, []string{"run", "-config", r.Config}, io.Discard, logged)
		logged.CloseWithError(io.EOF)
		ended <- err
	}()
	addresses := make(chan [2]string, 1)
	kept := &Lines{}
	r.Logged = kept
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
	r.Stop = func() error {
		cancel()
		r.Stop = func() error { return nil }
		select {
		case err := <-ended:
			return err
		case <-time.After(30 * time.Second):
			return fmt.Errorf("the proxy did not stop within 30 s")
		}
	}
	r.T.Cleanup(func() {
		if err := r.Stop(); err != nil {
			r.T.Errorf("stop the proxy: %v", err)
		}
	})
	select {
	case a := <-addresses:
		r.URL, r.Admin = "http://"+a[0], "http://"+a[1]
	case err := <-ended:
		r.Stop = func() error { return nil }
		r.T.Fatalf("the proxy ended: %v", err)
	case <-time.After(20 * time.Second):
		r.T.Fatal("the proxy did not listen within 20 s")
	}
	if wait {
		r.Ready()
	}
}

// Ready waits until the proxy says that it is.
func (r *Rig) Ready() {
	r.T.Helper()
	r.Eventually("ready", func() bool {
		resp, err := r.Client.Get(r.Admin + "/readyz")
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

// Eventually waits until ok, for at most 30 s.
func (r *Rig) Eventually(what string, ok func() bool) {
	r.T.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			r.T.Fatalf("waited 30 s in vain: %s", what)
		}
	}
}

// Reply is a response, read whole.
type Reply struct {
	Status int
	Header http.Header
	Body   string
}

// Hit tells whether the proxy answered from its cache.
func (p Reply) Hit() bool {
	return strings.HasPrefix(p.Header.Get("Cache-Status"), "walpurge; hit")
}

// Get asks the proxy for a path, with fields as pairs of name and value.
func (r *Rig) Get(path string, header ...string) Reply {
	r.T.Helper()
	p, err := r.Try(path, header...)
	if err != nil {
		r.T.Fatal(err)
	}
	return p
}

// Try is Get where an error is no failure of the test.
func (r *Rig) Try(path string, header ...string) (Reply, error) {
	req, err := http.NewRequest("GET", r.URL+path, nil)
	if err != nil {
		return Reply{}, err
	}
	req.Host = r.Host
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := r.Client.Do(req)
	if err != nil {
		return Reply{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return Reply{resp.StatusCode, resp.Header, string(body)}, err
}

// Warm asks until the answer is a hit, and returns it.
func (r *Rig) Warm(paths ...string) {
	r.T.Helper()
	for _, path := range paths {
		var last Reply
		r.Eventually("a hit of "+path, func() bool {
			last = r.Get(path)
			return last.Hit()
		})
	}
}

// StillHits fails unless each path is a hit at once.
func (r *Rig) StillHits(paths ...string) {
	r.T.Helper()
	for _, path := range paths {
		if p := r.Get(path); !p.Hit() {
			r.T.Errorf("%s: Cache-Status %q, want a hit", path, p.Header.Get("Cache-Status"))
		}
	}
}

// Misses fails if any path is a hit.
func (r *Rig) Misses(paths ...string) {
	r.T.Helper()
	for _, path := range paths {
		if p := r.Get(path); p.Hit() {
			r.T.Errorf("%s: Cache-Status %q, want a miss", path, p.Header.Get("Cache-Status"))
		}
	}
}

// Exec runs a statement on the database.
func (r *Rig) Exec(sql string, args ...any) {
	r.T.Helper()
	if _, err := r.DB.Exec(r.T.Context(), sql, args...); err != nil {
		r.T.Fatal(err)
	}
}

// CaughtUp waits until the proxy has applied and settled everything that is
// committed now.
func (r *Rig) CaughtUp() {
	r.T.Helper()
	var lsn uint64
	if err := r.DB.QueryRow(r.T.Context(), `select (pg_current_wal_insert_lsn() - '0/0')::bigint`).Scan(&lsn); err != nil {
		r.T.Fatal(err)
	}
	r.Eventually("the proxy catches up", func() bool { return r.watermark() >= lsn })
}

// Insert adds a listing with defaults for what the test doesn't care about.
func (r *Rig) Insert(id int, title, city, kind string, bedrooms int, price string) {
	r.T.Helper()
	r.Exec(`insert into listings (id, title, price, city, property_type, bedrooms) values ($1, $2, $3::text::numeric, $4, $5, $6)`,
		id, title, price, city, kind, bedrooms)
}
