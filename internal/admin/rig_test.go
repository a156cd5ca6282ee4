package admin

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"walpurge/dev/testbed"
	"walpurge/internal/coherence"
	"walpurge/internal/expr"
	"walpurge/internal/proxycache"
	"walpurge/internal/proxycache/depends"
	"walpurge/internal/proxycache/route"
	"walpurge/internal/upstream"
)

func TestMain(m *testing.M) { testbed.Main(m) }

// rig is a proxy with its admin port, in front of an origin that says ok, with
// a guard that is fed by hand.
type rig struct {
	t     testing.TB
	guard *coherence.Guard // nil: without PostgreSQL
	clock func() coherence.Nanos
	proxy *proxycache.Proxy
	admin *Admin
	url   string
}

var testTables = []coherence.Table{{Name: "public.listings", Columns: []coherence.Column{
	{Name: "id", Kind: coherence.Integer}, {Name: "city", Kind: coherence.Text}, {Name: "price", Kind: coherence.Numeric},
}}}

// testRoutes are a detail and a list page over listings.
func testRoutes() []route.Declaration {
	query := func(name string) *expr.Expr { return &expr.Expr{Source: expr.Query, Name: name} }
	return []route.Declaration{
		{
			Pattern: "/api/listings/{id}", MaxLag: time.Hour,
			Depends: []depends.Dependency{{
				Template: coherence.Template{Equal: []coherence.Equal{{Column: 0}}},
				Equal:    [][]expr.Expr{{{Source: expr.Path, Name: "id"}}},
				Words:    "listings where id = path.id",
			}},
		},
		{
			Pattern: "/api/listings", MaxLag: time.Hour,
			Depends: []depends.Dependency{{
				Template: coherence.Template{Equal: []coherence.Equal{{Column: 1}}, Ranges: []int{2}},
				Equal:    [][]expr.Expr{{*query("city")}},
				Ranges:   []depends.Range{{From: query("min_price"), To: query("max_price")}},
			}},
		},
	}
}

// newRig starts both servers. change may alter the options of the admin port.
func newRig(t testing.TB, change func(*Options)) *rig {
	t.Helper()
	guard, err := coherence.New(coherence.Config{Tables: testTables, FenceBits: 12})
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, guard, change)
	guard.Reset(7, 1000)
	r.prove()
	return r
}

// newPlainRig is one without PostgreSQL.
func newPlainRig(t testing.TB) *rig { return start(t, nil, nil) }

func start(t testing.TB, guard *coherence.Guard, change func(*Options)) *rig {
	t.Helper()
	began := time.Now()
	r := &rig{t: t, guard: guard, clock: func() coherence.Nanos { return coherence.Nanos(time.Since(began)) + 1 }}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	origin, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	o := proxycache.Options{Origin: upstream.Options{URL: origin}, Guard: guard, Memory: 64 << 20, MaxObject: 1 << 20, Now: r.clock}
	if guard != nil {
		o.Routes = testRoutes()
	}
	var a Options
	if change != nil {
		change(&a)
	}
	o.Purger = a.Purger
	if r.proxy, err = proxycache.New(o); err != nil {
		t.Fatal(err)
	}
	r.admin = New(r.proxy, a)
	if err := r.proxy.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- r.proxy.Serve() }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		r.admin.Close()
		_ = r.proxy.Close(ctx)
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	r.url = "http://" + r.proxy.Addr().String()
	return r
}

// prove gives the guard a proof of freshness as of now.
func (r *rig) prove() { r.guard.Probe(r.guard.Applied(), r.clock()) }

// get asks the proxy for a path.
func (r *rig) get(path string) {
	r.t.Helper()
	resp, err := http.Get(r.url + path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		r.t.Fatal(err)
	}
}

// ask asks the admin port, with fields "Name: value".
func (r *rig) ask(method, target, body string, fields ...string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, target, strings.NewReader(body))
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		req.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	r.admin.Handler().ServeHTTP(w, req)
	return w
}

// eventually waits for a condition.
func (r *rig) eventually(what string, ok func() bool) {
	r.t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			r.t.Fatalf("waited for 10 s: %s", what)
		case <-tick.C:
		}
	}
}

type purges struct {
	groups []string
	err    error
}

func (p *purges) Purge(_ context.Context, groups []string) (coherence.LSN, error) {
	p.groups = append(p.groups, groups...)
	return 0x1_0000_0002, p.err
}
