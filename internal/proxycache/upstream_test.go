package proxycache

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"walpurge/dev/testbed"
	"walpurge/internal/coherence"
)

// crowded counts the requests that an origin works on at one time.
type crowded struct {
	inside, most, total atomic.Int64
}

func (c *crowded) serve(w http.ResponseWriter, req *http.Request) {
	n := c.inside.Add(1)
	defer c.inside.Add(-1)
	c.total.Add(1)
	for m := c.most.Load(); n > m && !c.most.CompareAndSwap(m, n); m = c.most.Load() {
	}
	pause(500)
	_, _ = io.WriteString(w, req.URL.Path)
}

// wide drops every response that depends on the listings, as TRUNCATE does.
func (r *rig) wide() {
	r.xid++
	tx := coherence.NewTransaction(testTables, 1000)
	tx.Begin(r.xid, r.lsn+10, time.Now())
	tx.Whole(0)
	tx.Commit(r.lsn + 20)
	r.lsn += 100
	r.guard.Apply(tx)
	r.settle()
}

// After a purge of everything, and after a new epoch with and without a proof
// of freshness, the origin sees no more at a time than it is said to bear, and
// everybody is answered.
func TestWidePurgeAndNewEpochDoNotStampedeTheOrigin(t *testing.T) {
	const limit, pages, readers = 4, 40, 120
	r := newRig(t, func(_ *rig, o *Options) { o.Origin.Concurrency, o.Origin.Wait = limit, time.Hour })
	var c crowded
	r.answer(c.serve)
	all := func(what string) (asked int64) {
		t.Helper()
		c.most.Store(0)
		before := c.total.Load()
		var wg sync.WaitGroup
		for i := range readers {
			wg.Go(func() {
				path := fmt.Sprintf("/api/listings/%d", i%pages)
				if got, err := r.try("GET", path, nil); err != nil || got.body != path || got.StatusCode != 200 {
					t.Errorf("%s: %q, %v", path, got.body, err)
				}
			})
		}
		wg.Wait()
		asked = c.total.Load() - before
		testbed.Measured(t, "%s: %d readers of %d pages, %d requests to the origin, at most %d at one time (limit %d)", what, readers, pages, asked, c.most.Load(), limit)
		if c.most.Load() > limit {
			t.Errorf("%s: %d requests at one time, the limit is %d", what, c.most.Load(), limit)
		}
		return asked
	}
	all("at the start")
	if n := all("warm"); n != 0 {
		t.Errorf("%d requests though everything was stored", n)
	}
	r.wide()
	if n := all("after a purge of the whole table"); n != pages {
		t.Errorf("%d requests for %d pages", n, pages)
	}
	r.guard.Reset(8, 100_000)
	if n := all("in a new epoch without proof"); n != readers {
		t.Errorf("%d requests of %d", n, readers)
	}
	r.prove()
	if n := all("in a new epoch with proof"); n != pages {
		t.Errorf("%d requests for %d pages", n, pages)
	}
}

// busy occupies the only turn there is until the result is called.
func (r *rig) busy() (let func()) {
	r.t.Helper()
	reached, release := make(chan struct{}, 1), make(chan struct{})
	r.answer(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/api/listings/first" {
			reached <- struct{}{}
			<-release
		}
		_, _ = io.WriteString(w, "ok")
	})
	let = sync.OnceFunc(func() { close(release) })
	r.t.Cleanup(let)
	go func() { _, _ = r.try("GET", "/api/listings/first", nil) }()
	<-reached
	return let
}

// Who waits gets its turn in the order of arrival.
func TestTurnsComeInOrder(t *testing.T) {
	r := newRig(t, func(_ *rig, o *Options) { o.Origin.Concurrency, o.Origin.Wait = 1, time.Hour })
	let := r.busy()
	const n = 20
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { r.get(fmt.Sprintf("/api/listings/%d", i)) })
		r.eventually("it waits", func() bool { return r.proxy.upstream.Waits() == int64(i+1) })
	}
	let()
	wg.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range n {
		if want := fmt.Sprintf("GET /api/listings/%d", i); r.requests[i+1] != want {
			t.Fatalf("request %d is %s, want %s", i+1, r.requests[i+1], want)
		}
	}
}

// Nobody waits for ever: who gets no turn in time is told to come back, and
// those who share its fill with it.
func TestNoTurnInTimeIs503(t *testing.T) {
	r := newRig(t, func(_ *rig, o *Options) {
		o.Origin.Concurrency, o.Origin.Wait, o.JoinTimeout = 1, 300*time.Millisecond, 10*time.Millisecond
	})
	let := r.busy()
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			got := r.get("/api/listings/1")
			if got.StatusCode != 503 || got.Header.Get("Retry-After") != "1" || !strings.HasSuffix(got.cacheStatus(), "; detail=busy") {
				t.Errorf("%s with Cache-Status %q and Retry-After %q", got.Status, got.cacheStatus(), got.Header.Get("Retry-After"))
			}
		})
	}
	wg.Wait()
	if n := r.asked(); n != 1 {
		t.Errorf("%d requests reached the origin", n)
	}
	r.guard.Unprove()
	if got := r.get("/api/listings/1"); got.StatusCode != 503 {
		t.Errorf("unproven: %s", got.Status)
	}
	r.prove()
	let()
	r.eventually("there is room again", func() bool { return r.get("/api/listings/1").StatusCode == 200 })
}

// A response that nobody keeps goes to its client at that client's speed. It
// takes nobody's turn away meanwhile.
func TestSlowClientHoldsNoTurn(t *testing.T) {
	r := newRig(t, func(_ *rig, o *Options) { o.Origin.Concurrency, o.Origin.Wait = 1, time.Hour })
	release := make(chan struct{})
	let := sync.OnceFunc(func() { close(release) })
	t.Cleanup(let)
	r.answer(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/plain/slow" {
			w.Header().Set("Cache-Control", "no-store")
			_, _ = io.WriteString(w, "begin")
			w.(http.Flusher).Flush()
			<-release
		}
		_, _ = io.WriteString(w, "ok")
	})
	slow := make(chan reply, 1)
	go func() { slow <- r.get("/plain/slow") }()
	r.eventually("the slow one has begun", func() bool { return r.asked() == 1 })
	r.want(r.get("/api/listings/1"), "ok", "walpurge; fwd=uri-miss; fwd-status=200; stored")
	let()
	if got := <-slow; got.body != "beginok" {
		t.Errorf("the slow one got %q", got.body)
	}
}
