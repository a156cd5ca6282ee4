package proxycache

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"walpurge/dev/testbed"
	"walpurge/internal/coherence"
	"walpurge/internal/http1"
	"walpurge/internal/proxycache/audit"
	"walpurge/internal/proxycache/fill"
	"walpurge/internal/proxycache/route"
	"walpurge/internal/proxycache/store"
)

// byDefault are the status codes that may be kept without the origin saying so
// (RFC 9110 section 15.1), but 206.
var byDefault = []int{200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501}

// failures are the codes that say of one request that it failed, and not for
// how long: those of a server that can't answer now come first.
var failures = []int{500, 502, 503, 504, 505, 507, 511, 599, 429, 425, 408, 403, 401, 400, 402, 406, 409, 418, 421, 422, 431}

// ttlRoutes are a route with a ttl and one with dependencies beside it, and
// windows past the lifetime as asked for.
func ttlRoutes(ttl, swr, sie time.Duration) func(*rig, *Options) {
	given := func(d time.Duration) *time.Duration {
		if d == 0 {
			return nil
		}
		return &d
	}
	return func(_ *rig, o *Options) {
		plain := route.Declaration{Pattern: "/x/{k}", TTL: given(ttl), StaleWhileRevalidate: given(swr), StaleIfError: given(sie)}
		rows := testRoutes()[0]
		rows.Pattern, rows.TTL, rows.StaleWhileRevalidate, rows.StaleIfError = "/rows/{id}", plain.TTL, plain.StaleWhileRevalidate, plain.StaleIfError
		silent := testRoutes()[0]
		o.Routes = []route.Declaration{plain, rows, silent}
	}
}

func TestRFC9110Section15_1TTLCountsForWhatIsKeptByDefault(t *testing.T) {
	r := newRig(t, ttlRoutes(time.Hour, 0, 0))
	for status, kept := range statusTable() {
		for _, path := range []string{"/x/", "/rows/", "/api/listings/"} { // the last has the default hour
			path += fmt.Sprint(status)
			r.counted(status)
			r.get(path)
			before := r.asked()
			got := r.get(path)
			if hit := r.asked() == before; hit != kept || got.StatusCode != status {
				t.Errorf("%s: a hit is %t, want %t: %s, %q", path, hit, kept, got.Status, got.cacheStatus())
			}
		}
	}
}

func statusTable() map[int]bool {
	table := map[int]bool{302: false, 303: false, 307: false, 451: false}
	for _, status := range byDefault {
		table[status] = true
	}
	for _, status := range failures {
		table[status] = false
	}
	return table
}

// What the origin says itself counts for an error as RFC 9111 has it, and for
// no longer: the route's windows are about its pages.
func TestRFC9110Section15_1OriginsOwnLifetimeOfAnError(t *testing.T) {
	r := newRig(t, ttlRoutes(time.Hour, time.Hour, time.Hour))
	for _, status := range []int{302, 400, 403, 408, 429, 500, 503} {
		path := fmt.Sprint("/x/", status)
		r.counted(status, "Cache-Control: max-age=10")
		r.get(path)
		got := r.get(path)
		r.want(got, "1", "walpurge; hit; ttl=9")
		if got.StatusCode != status {
			t.Errorf("%d: %s with %q", status, got.Status, got.cacheStatus())
		}
		if status == 302 {
			continue
		}
		r.now.Add(int64(11 * time.Second))
		if got := r.get(path); got.body != "2" {
			t.Errorf("%d, a second past its lifetime: %q with %q", status, got.body, got.cacheStatus())
		}
		// Nor does it stand in for another error.
		r.now.Add(int64(11 * time.Second))
		r.down(0)
		if got := r.get(path, "Cache-Control: stale-if-error=600"); got.StatusCode != 502 {
			t.Errorf("%d stands in for another error: %s with %q", status, got.Status, got.cacheStatus())
		}
	}
}

// An error never takes the place of a page that may still be used.
func TestRFC5861Section4ErrorsTakeNoPagesPlace(t *testing.T) {
	for _, path := range []string{"/x/1", "/rows/1"} {
		for _, page := range []string{"", "Etag: \"1\""} { // one that can be validated, and one that can't
			for _, says := range []string{"X: y", "Cache-Control: max-age=10", "Cache-Control: no-store"} {
				for _, status := range failures {
					t.Run(fmt.Sprint(path, page, says, status), func(t *testing.T) {
						r := newRig(t, ttlRoutes(time.Second, 0, time.Hour))
						if page == "" {
							r.say("page")
						} else {
							r.say("page", page)
						}
						r.get(path)
						r.now.Add(int64(2 * time.Second))
						r.counted(status, says)
						for range 3 {
							got := r.get(path)
							if fill.Failing(status) && got.body != "page" || !fill.Failing(status) && got.StatusCode != status {
								t.Fatalf("%s with %q", got.Status, got.cacheStatus())
							}
							if !fill.Failing(status) && strings.Contains(got.cacheStatus(), "hit") {
								t.Fatalf("the error is kept: %q", got.cacheStatus())
							}
						}
						r.down(503)
						r.want(r.get(path), "page", "walpurge; hit; ttl=-")
					})
				}
			}
		}
	}
}

// A page that is gone, moved or not there any more is an answer like any other.
func TestRFC9111Section4_3_3AnswersThatAreNoErrorsReplace(t *testing.T) {
	for _, status := range []int{404, 410, 301, 405, 501} {
		for _, path := range []string{"/x/1", "/rows/1"} {
			r := newRig(t, ttlRoutes(10*time.Second, 0, time.Hour))
			r.say("page", `Etag: "1"`)
			r.get(path)
			r.now.Add(int64(11 * time.Second))
			r.counted(status)
			r.get(path)
			if got := r.get(path); got.StatusCode != status || !strings.HasPrefix(got.cacheStatus(), "walpurge; hit") {
				t.Errorf("%s after a %d: %s with %q", path, status, got.Status, got.cacheStatus())
			}
		}
	}
	r := newRig(t, ttlRoutes(10*time.Second, 0, time.Hour))
	r.say("page", `Etag: "1"`)
	r.get("/x/1")
	r.now.Add(int64(11 * time.Second))
	r.counted(451) // taken down: it must not come back
	r.get("/x/1")
	r.down(503)
	if got := r.get("/x/1"); got.StatusCode != 503 {
		t.Errorf("after a 451: %s with %q", got.Status, got.cacheStatus())
	}
}

// A reload that fails ends nothing that is fresh for the others.
func TestRFC9111Section4_3_3ErrorsToAReloadLeaveTheFreshPage(t *testing.T) {
	for _, path := range []string{"/x/1", "/rows/1"} {
		for _, says := range []string{"X: y", "Cache-Control: max-age=10"} {
			for _, field := range []string{`Etag: "1"`, "X: y"} {
				r := newRig(t, ttlRoutes(time.Hour, 0, 0))
				r.say("page", field)
				r.get(path)
				r.counted(503, says)
				if got := r.get(path, "Cache-Control: no-cache"); got.StatusCode != 503 {
					t.Fatal(got.Status)
				}
				r.want(r.get(path), "page", "walpurge; hit; ttl=3")
			}
		}
	}
}

// So it is in the background: while stale_while_revalidate lasts, an error
// that answers a refresh leaves the page where it is.
func TestRFC5861Section3ErrorsToARefreshLeaveThePage(t *testing.T) {
	for _, path := range []string{"/x/1", "/rows/1"} {
		for _, says := range []string{"X: y", "Cache-Control: max-age=10"} {
			for _, field := range []string{`Etag: "1"`, "X: y"} {
				r := newRig(t, ttlRoutes(time.Second, time.Minute, 0))
				r.say("page", field)
				r.get(path)
				r.now.Add(int64(2 * time.Second))
				r.counted(503, says)
				for i := range 3 {
					r.want(r.get(path), "page", "walpurge; hit; ttl=-1")
					r.eventually("the refresh has ended", func() bool { return r.asked() == i+2 && r.flying() == 0 })
				}
				r.say("new")
				r.get(path)
				r.eventually("the refresh has ended", func() bool { return r.asked() == 5 && r.flying() == 0 })
				r.want(r.get(path), "new", "walpurge; hit")
			}
		}
	}
}

// With on_change the old page is shown for its moment, whatever the refresh gets.
func TestErrorsToARefreshAfterAChangeLeaveThePage(t *testing.T) {
	r := newRig(t, func(_ *rig, o *Options) { o.Routes[0].StaleOnChange = 10 * time.Second })
	r.say("old", `Etag: "1"`)
	r.get("/api/listings/1")
	r.commit(&row{"1", "Lagos", "1"}, &row{"1", "Lagos", "2"})
	r.down(503)
	for i := range 2 {
		r.want(r.get("/api/listings/1"), "old", "walpurge; hit; ttl=-1; detail=change")
		r.eventually("the refresh has ended", func() bool { return r.asked() == i+2 && r.flying() == 0 })
	}
	r.now.Add(int64(11 * time.Second))
	if got := r.get("/api/listings/1"); got.StatusCode != 503 {
		t.Fatal(got.Status, got.cacheStatus())
	}
}

// Whoever has joined the request that failed gets the page as well.
func TestRFC5861Section4JoinersGetThePageToo(t *testing.T) {
	for _, status := range []int{503, 0} {
		r := newRig(t, ttlRoutes(time.Second, 0, time.Hour))
		r.say("page")
		r.get("/x/1")
		r.now.Add(int64(2 * time.Second))
		g := newGate()
		r.answer(func(w http.ResponseWriter, _ *http.Request) {
			g.pass()
			if status == 0 {
				panic(http.ErrAbortHandler)
			}
			w.WriteHeader(status)
		})
		go func() {
			r.eventually("the others have joined", func() bool { _, joined := r.proxy.fills.Flights.Count(); return joined == 4 })
			close(g.open)
		}()
		for _, got := range r.together(5, "/x/1") {
			r.want(got, "page", "walpurge; hit; ttl=-1")
		}
		if asked := r.asked(); status != 0 && asked != 2 { // a broken connection is tried again
			t.Errorf("%d requests reached the origin", asked)
		}
	}
}

func TestRFC5861Section4HEADGetsThePagesHead(t *testing.T) {
	for _, path := range []string{"/x/1", "/rows/1"} {
		for _, status := range []int{503, 0} {
			r := newRig(t, ttlRoutes(time.Second, 0, time.Hour))
			r.say("page", "X-Page: 1")
			r.get(path)
			r.now.Add(int64(2 * time.Second))
			r.down(status)
			got := r.do("HEAD", path, nil)
			if got.StatusCode != 200 || got.Header.Get("X-Page") != "1" || !strings.HasPrefix(got.cacheStatus(), "walpurge; hit; ttl=-1") {
				t.Errorf("%s, %d: %s with %q", path, status, got.Status, got.cacheStatus())
			}
			r.now.Add(int64(time.Hour))
			if got := r.do("HEAD", path, nil); got.StatusCode < 500 {
				t.Errorf("%s, %d, too late: %s with %q", path, status, got.Status, got.cacheStatus())
			}
		}
	}
}

// An error doesn't name the fields that the pages vary by: it would take the
// place of what leads to all of them.
func TestRFC9111Section4_1ErrorsTakeNoVariantsPlace(t *testing.T) {
	r := newRig(t, ttlRoutes(time.Second, 0, time.Hour))
	r.answer(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Vary", "Accept-Language")
		_, _ = io.WriteString(w, req.Header.Get("Accept-Language"))
	})
	r.get("/x/1", "Accept-Language: de")
	r.get("/x/1", "Accept-Language: fr")
	r.now.Add(int64(2 * time.Second))
	r.counted(500, "Cache-Control: max-age=10")
	if got := r.get("/x/1", "Accept-Language: en"); got.StatusCode != 500 {
		t.Fatal(got.Status)
	}
	for _, language := range []string{"de", "fr"} {
		r.want(r.get("/x/1", "Accept-Language: "+language), language, "walpurge; hit; ttl=-1")
	}
	// Nor may one that varies take the place of a page that doesn't.
	r.say("page")
	r.get("/x/2")
	r.now.Add(int64(2 * time.Second))
	r.counted(429, "Cache-Control: max-age=10", "Vary: Accept-Language")
	r.get("/x/2")
	r.down(503)
	r.want(r.get("/x/2"), "page", "walpurge; hit; ttl=-1")
}

// One error of a server that can't answer now doesn't keep the page that
// follows from being stored.
func TestPageAfterAnErrorIsStored(t *testing.T) {
	for _, status := range []int{503, 500, 429} {
		for _, path := range []string{"/x/1", "/rows/1", "/api/listings/1"} {
			r := newRig(t, ttlRoutes(time.Hour, 0, 0))
			r.counted(status, "Cache-Control: no-store")
			r.get(path)
			r.say("page")
			r.want(r.get(path), "page", "walpurge; fwd=uri-miss; fwd-status=200; stored")
			r.want(r.get(path), "page", "walpurge; hit")
		}
	}
}

// Redis is for what others want as well: an error never gets there, and one
// that lies there, put by whatever wrote it, isn't used.
func TestRFC9110Section15_1ErrorsDoNotReachRedis(t *testing.T) {
	url := testbed.SharedRedis(t)
	namespace := fmt.Sprintf("errors-%d", time.Now().UnixNano())
	pair := func() *rig {
		return newRig(t, func(r *rig, o *Options) {
			ttlRoutes(time.Hour, 0, 0)(r, o)
			withRedis(t, url)(r, o)
			o.Redis.Namespace = namespace
		})
	}
	one, two := pair(), pair()
	one.say("page")
	one.get("/x/1")
	one.written(1)
	host := "Host: " + strings.TrimPrefix(one.url, "http://")
	two.down(503)
	two.want(two.get("/x/1", host), "page", "walpurge; hit")

	// The first has lost it, and is asked for something newer.
	one.forget()
	one.counted(503, "Cache-Control: max-age=60")
	if got := one.get("/x/1", "Cache-Control: no-cache"); got.StatusCode != 503 {
		t.Fatal(got.Status)
	}
	one.want(one.get("/x/1"), "page", "walpurge; hit")

	// An error that the origin wants kept stays in memory.
	one.get("/x/2")
	one.want(one.get("/x/2"), "2", "walpurge; hit")
	one.say("other")
	one.get("/x/3")
	one.written(2)
	two.down(500)
	if got := two.get("/x/2", host); got.StatusCode != 500 {
		t.Errorf("from Redis: %s with %q", got.Status, got.cacheStatus())
	}

	// As an earlier version left them.
	e := one.proxy.memory.Peek(one.keyOf("/x/3"))
	for status := range map[int]bool{503: false, 403: false, 302: false, 404: true, 200: true} {
		old := store.Shell(e)
		old.Status, old.Body = uint16(status), []byte("left")
		old.SetKey(one.keyOf(fmt.Sprint("/x/left", status)))
		old.SetHead(http1.FinishHead(http1.AppendFields(http1.AppendStatus(nil, status), e.Header()), status, len(old.Body)))
		one.proxy.memory.Finish(old)
		one.proxy.redis.Write(old.Key(), old, one.proxy.opt.Now())
	}
	one.written(2 + 5)
	one.say("asked")
	for status, used := range map[int]bool{503: false, 403: false, 302: false, 404: true, 200: true} {
		got := one.get(fmt.Sprint("/x/left", status))
		if (got.body == "left") != used {
			t.Errorf("a %d in Redis: %q with %q", status, got.body, got.cacheStatus())
		}
	}
}

// keyOf is the key of a path without variants.
func (r *rig) keyOf(path string) string {
	for e := range r.proxy.memory.All() {
		if i := strings.Index(e.Key(), "/x/3"); i >= 0 {
			return e.Key()[:i] + path + e.Key()[i+len("/x/3"):]
		}
	}
	r.t.Fatal("/x/3 isn't stored")
	return ""
}

// An origin that fails while a hit is compared with what it says shows nothing
// of the hit.
func TestAuditTakesAnErrorForNoAnswer(t *testing.T) {
	r := newRig(t, func(r *rig, o *Options) {
		o.Audit = 1
		o.Positions.Ask = func(context.Context) (coherence.Position, error) {
			return coherence.Position{Epoch: r.guard.Epoch(), LSN: r.guard.Applied()}, nil
		}
	})
	r.say("page")
	r.get("/api/listings/1")
	e := r.proxy.memory.Peek(r.anyKey())
	for _, status := range []int{503, 500, 429, 408} {
		r.down(status)
		before := r.audited("error")
		r.proxy.audit.Take(&audit.Sample{Entry: e, Route: e.Route, Target: "/api/listings/1", Host: "a", Header: http.Header{}})
		r.eventually(fmt.Sprintf("%d is no answer", status), func() bool { return r.audited("error") == before+1 })
	}
}

func (r *rig) anyKey() string {
	for e := range r.proxy.memory.All() {
		return e.Key()
	}
	r.t.Fatal("nothing is stored")
	return ""
}

// However late it is noticed: the tier itself puts no error in a page's place.
func TestErrorGivesWayInTheMemoryTier(t *testing.T) {
	r := newRig(t, ttlRoutes(time.Hour, 0, 0))
	r.say("page")
	r.get("/x/3")
	m := r.proxy.memory
	page := m.Peek(r.keyOf("/x/3"))
	failed := store.Shell(page)
	failed.Status = 503
	failed.SetHead(http1.FinishHead(http1.AppendFields(http1.AppendStatus(nil, 503), http.Header{}), 503, 0))
	if m.Put(failed) || m.Peek(page.Key()) != page {
		t.Fatal("the error has taken the page's place")
	}
	r.now.Add(int64(2 * time.Hour))
	if failed.Fresh += page.Fresh; !m.Put(failed) || m.Peek(page.Key()) != failed {
		t.Fatal("a page whose time is over stays in its place")
	}
}
