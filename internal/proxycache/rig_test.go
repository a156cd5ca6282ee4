package proxycache

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"walpurge/dev/testbed"
	"walpurge/internal/coherence"
	"walpurge/internal/expr"
	"walpurge/internal/proxycache/depends"
	"walpurge/internal/proxycache/route"
	"walpurge/internal/upstream"
)

func TestMain(m *testing.M) {
	if addr := os.Getenv(crowdEnv); addr != "" {
		if err := crowd(addr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	testbed.Main(m)
}

// rig is a proxy in front of an origin, with a guard that is fed by hand.
type rig struct {
	t      testing.TB
	origin *httptest.Server
	guard  *coherence.Guard
	proxy  *Proxy
	client *http.Client
	url    string
	now    atomic.Int64 // added to the clock
	lsn    coherence.LSN
	xid    uint32

	mu       sync.Mutex
	handler  http.HandlerFunc
	requests []string // methods and targets that reached the origin
}

var testTables = []coherence.Table{{Name: "public.listings", Columns: []coherence.Column{
	{Name: "id", Kind: coherence.Integer}, {Name: "city", Kind: coherence.Text}, {Name: "price", Kind: coherence.Numeric},
}}}

// testRoutes are a detail and a list page over listings, and a plain route.
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
		{Pattern: "/plain/{rest...}"},
	}
}

// newRig starts both servers. change may alter the options.
func newRig(t testing.TB, change func(*rig, *Options)) *rig {
	t.Helper()
	r := &rig{t: t, lsn: 1000, xid: 700}
	r.handler = func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }
	r.origin = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		h := r.handler
		r.requests = append(r.requests, req.Method+" "+req.RequestURI)
		r.mu.Unlock()
		h(w, req)
	}))
	r.origin.Start()
	t.Cleanup(func() {
		r.origin.CloseClientConnections()
		r.origin.Close()
	})
	var err error
	if r.guard, err = coherence.New(coherence.Config{Tables: testTables, FenceBits: 12}); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	clock := func() coherence.Nanos { return coherence.Nanos(time.Since(start)) + coherence.Nanos(r.now.Load()) + 1 }
	origin, err := url.Parse(r.origin.URL)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Origin: upstream.Options{URL: origin}, Guard: r.guard, Routes: testRoutes(), Memory: 64 << 20, MaxObject: 1 << 20, Now: clock}
	if change != nil {
		change(r, &o)
	}
	if r.proxy, err = New(o); err != nil {
		t.Fatal(err)
	}
	if o.Guard != nil {
		r.guard.Reset(7, r.lsn)
		r.prove()
	}
	if err := r.proxy.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- r.proxy.Serve() }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		_ = r.proxy.Close(ctx)
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	r.url = "http://" + r.proxy.Addr().String()
	tr := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 100}
	t.Cleanup(tr.CloseIdleConnections)
	r.client = &http.Client{Transport: tr, Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return r
}

// plainHTTP takes the database away.
func plainHTTP(_ *rig, o *Options) { o.Guard, o.Routes = nil, nil }

// answer sets what the origin does.
func (r *rig) answer(h http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.handler = h
}

// say makes the origin answer with body and fields, given as "Name: value".
func (r *rig) say(body string, fields ...string) {
	r.answer(func(w http.ResponseWriter, _ *http.Request) {
		for _, f := range fields {
			name, value, _ := strings.Cut(f, ": ")
			w.Header().Add(name, value)
		}
		_, _ = io.WriteString(w, body)
	})
}

// asked counts the requests that reached the origin.
func (r *rig) asked() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.requests)
}

// prove gives the guard a proof of freshness as of now.
func (r *rig) prove() { r.guard.Probe(r.guard.Applied(), r.proxy.opt.Now()) }

// reply is a response read to its end.
type reply struct {
	*http.Response
	body string
}

// cacheStatus is the Cache-Status of the response.
func (r reply) cacheStatus() string { return r.Header.Get("Cache-Status") }

// get asks for a path with fields "Name: value".
func (r *rig) get(path string, fields ...string) reply { return r.do("GET", path, nil, fields...) }

func (r *rig) do(method, path string, body io.Reader, fields ...string) reply {
	r.t.Helper()
	rep, err := r.try(method, path, body, fields...)
	if err != nil {
		r.t.Fatal(err)
	}
	return rep
}

func (r *rig) try(method, path string, body io.Reader, fields ...string) (reply, error) {
	req, err := http.NewRequest(method, r.url+path, body)
	if err != nil {
		return reply{}, err
	}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		req.Header.Add(name, value)
		if name == "Host" {
			req.Host = value
		}
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return reply{resp, string(b)}, err
}

// want fails unless Cache-Status begins as wanted.
func (r *rig) want(got reply, body, cacheStatus string) {
	r.t.Helper()
	if got.body != body || !strings.HasPrefix(got.cacheStatus(), cacheStatus) {
		r.t.Fatalf("got %q with Cache-Status %q, want %q with %q", got.body, got.cacheStatus(), body, cacheStatus)
	}
}

// row is a listing.
type row struct{ id, city, price string }

func (w *row) values() []coherence.Value {
	if w == nil {
		return nil
	}
	v := func(s string) coherence.Value { return coherence.Value{State: coherence.Known, Text: []byte(s)} }
	return []coherence.Value{v(w.id), v(w.city), v(w.price)}
}

// decode applies a transaction that changes a row; it stays pending.
func (r *rig) decode(old, new *row) {
	op := coherence.Update
	switch {
	case old == nil:
		op = coherence.Insert
	case new == nil:
		op = coherence.Delete
	}
	r.xid++
	tx := coherence.NewTransaction(testTables, 1000)
	tx.Begin(r.xid, r.lsn+10, time.Now())
	tx.Append(0, op, old.values(), new.values(), coherence.AnyColumn)
	tx.Commit(r.lsn + 20)
	r.lsn += 100
	r.guard.Apply(tx)
}

// settle makes everything decoded visible.
func (r *rig) settle() {
	r.guard.Settle(coherence.Snapshot{XMin: uint64(r.xid) + 1, XMax: uint64(r.xid) + 1})
}

// commit decodes and settles a change.
func (r *rig) commit(old, new *row) {
	r.decode(old, new)
	r.settle()
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

// dial opens a raw connection to the proxy.
func (r *rig) dial() *rawConn {
	r.t.Helper()
	c, err := net.Dial("tcp", r.proxy.Addr().String())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(15 * time.Second))
	return &rawConn{Conn: c, r: bufio.NewReader(c), t: r.t}
}

// rawConn sends bytes and reads responses.
type rawConn struct {
	net.Conn
	r *bufio.Reader
	t testing.TB
}

func (c *rawConn) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.Conn, s); err != nil {
		c.t.Fatal(err)
	}
}

// read reads one response with its body.
func (c *rawConn) read(method string) reply {
	c.t.Helper()
	resp, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("read response: %v", err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("read body: %v", err)
	}
	return reply{resp, string(b)}
}

// closed fails unless the proxy has closed the connection.
func (c *rawConn) closed() {
	c.t.Helper()
	if b, err := c.r.ReadByte(); err == nil {
		c.t.Fatalf("the connection is open and sent %q", b)
	} else if ne, ok := err.(net.Error); ok && ne.Timeout() {
		c.t.Fatal("the connection is still open")
	}
}
