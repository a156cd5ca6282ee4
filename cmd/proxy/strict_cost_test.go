package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"walpurge/internal/testbed"
)

// costRoutes are two routes to pages that depend on the same row; one is
// strict.
const costRoutes = `
routes:
  - path: /plain/{id}
    depends_on:
      - table: listings
        where: { id: path.id }
  - path: /strict/{id}
    consistency: strict
    depends_on:
      - table: listings
        where: { id: path.id }
`

// strictRig is a leader and a follower in front of an origin that answers
// with one body.
func strictRig(t testing.TB) (leader, follower *rig) {
	r := newRig(t, rigOptions{redis: testbed.SharedRedis(t), routes: costRoutes, proxies: 2})
	body := strings.Repeat("x", 2048)
	answer := func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, body)
		return true
	}
	r.hook.Store(&answer)
	for i := range 5 {
		r.insert(i+1, "v0", "Lagos", "house", 3, "100")
	}
	r.caughtUp()
	return r, r.peers[0]
}

// lineOf is a connection to a proxy that asks for one page after the other,
// with nothing between that costs time.
type lineOf struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
}

func (r *rig) line() *lineOf {
	r.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	return &lineOf{r.t, conn, bufio.NewReader(conn)}
}

// get asks for a page and tells how long that took, and whether it was a hit.
func (l *lineOf) get(path string) (took time.Duration, hit bool) {
	l.t.Helper()
	began := time.Now()
	if _, err := io.WriteString(l.conn, "GET "+path+" HTTP/1.1\r\nHost: shop\r\n\r\n"); err != nil {
		l.t.Fatal(err)
	}
	resp, err := http.ReadResponse(l.r, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		l.t.Fatal(err)
	}
	return time.Since(began), strings.HasPrefix(resp.Header.Get("Cache-Status"), "walpurge; hit")
}

// cost is how long strict and plain hits took, in turns.
type cost struct{ plain, strict []time.Duration }

func (c *cost) sort() { slices.Sort(c.plain); slices.Sort(c.strict) }

// over is how much longer a strict hit took at the median.
func (c *cost) over() time.Duration { return median(c.strict) - median(c.plain) }

func (c *cost) String() string {
	return fmt.Sprintf("a plain hit %v, a strict one %v, %v more (medians of %d); p99 %v and %v",
		median(c.plain), median(c.strict), c.over(), len(c.strict), c.plain[len(c.plain)*99/100], c.strict[len(c.strict)*99/100])
}

func median(sorted []time.Duration) time.Duration { return sorted[len(sorted)/2] }

// strictCost asks n times for the page as a plain and as a strict one, in
// turns.
func strictCost(r *rig, n int) *cost {
	r.t.Helper()
	l := r.line()
	for _, path := range []string{"/plain/1", "/strict/1"} {
		r.eventually("a hit of "+path, func() bool { _, hit := l.get(path); return hit })
	}
	c := &cost{}
	for len(c.strict) < n {
		plain, hit := l.get("/plain/1")
		strict, too := l.get("/strict/1")
		if hit && too {
			c.plain, c.strict = append(c.plain, plain), append(c.strict, strict)
		}
	}
	c.sort()
	return c
}

// writers runs four writers that touch other rows, until stop is called.
func (r *rig) writers(pause time.Duration) (stop func()) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	group, ctx := errgroup.WithContext(ctx)
	for i := range 4 {
		conn, err := pgx.Connect(r.t.Context(), r.dbURL)
		if err != nil {
			r.t.Fatal(err)
		}
		group.Go(func() error {
			defer conn.Close(context.Background())
			for n := 0; ctx.Err() == nil; n++ {
				if _, err := conn.Exec(context.Background(), "update listings set price = $1 where id = $2", n%1000, i+2); err != nil {
					return err
				}
				if pause > 0 {
					select {
					case <-ctx.Done():
					case <-time.After(pause):
					}
				}
			}
			return nil
		})
	}
	return func() {
		r.t.Helper()
		cancel()
		if err := group.Wait(); err != nil {
			r.t.Fatal(err)
		}
	}
}

func TestStrictCostProbe(t *testing.T) {
	leader, follower := strictRig(t)
	leader.exec("create table other (n int)")
	conn, err := pgx.Connect(t.Context(), leader.dbURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, k := range []struct{ name, sql string }{
		{"rollback", "begin; insert into other select generate_series(1, 200); rollback"},
		{"watched commit", "update listings set price = price + 1 where id = 2"},
		{"unwatched commit", "insert into other values (1)"},
		{"big unwatched commit", "insert into other select generate_series(1, 200)"},
		{"rollback", "begin; insert into other select generate_series(1, 200); rollback"},
		{"open tx", "insert into other select generate_series(1, 2000)"},
	} {
		for name, r := range map[string]*rig{"leader": leader, "follower": follower} {
			l := r.line()
			r.eventually("hit", func() bool { _, hit := l.get("/strict/1"); return hit })
			var all []time.Duration
			hits := 0
			for range 100 {
				if _, err := conn.PgConn().Exec(t.Context(), k.sql).ReadAll(); err != nil {
					t.Fatal(err)
				}
				took, hit := l.get("/strict/1")
				if hit {
					hits++
				}
				all = append(all, took)
				time.Sleep(20 * time.Millisecond)
			}
			slices.Sort(all)
			t.Logf("%s after %s: median %v p90 %v p99 %v max %v, %d hits", name, k.name, median(all), all[90], all[98], all[99], hits)
		}
	}
}
