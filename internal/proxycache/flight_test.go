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
)

// together sends n requests for the same at once and returns their answers.
func (r *rig) together(n int, path string, fields ...string) []reply {
	r.t.Helper()
	replies := make([]reply, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			rep, err := r.try("GET", path, nil, fields...)
			if err != nil {
				r.t.Error(err)
			}
			replies[i] = rep
		}()
	}
	wg.Wait()
	return replies
}

// gate makes the origin answer only once it is opened, and tells how many
// requests wait.
type gate struct {
	arrived atomic.Int32
	open    chan struct{}
}

func newGate() *gate { return &gate{open: make(chan struct{})} }

func (g *gate) pass() {
	g.arrived.Add(1)
	<-g.open
}

func TestRequestsForTheSameShareOneFill(t *testing.T) {
	r := newRig(t, nil)
	g := newGate()
	r.answer(func(w http.ResponseWriter, _ *http.Request) {
		g.pass()
		_, _ = io.WriteString(w, "shared")
	})
	go func() {
		r.eventually("all connections are there", func() bool { return r.proxy.clients.Connections() >= 20 && g.arrived.Load() == 1 })
		close(g.open)
	}()
	outcomes := map[string]int{}
	for _, got := range r.together(20, "/api/listings/1") {
		if got.body != "shared" {
			t.Fatal(got.body)
		}
		switch cs := got.cacheStatus(); {
		case strings.Contains(cs, "; collapsed"):
			outcomes["collapsed"]++
		case strings.Contains(cs, "; hit"):
			outcomes["hit"]++
		default:
			outcomes["miss"]++
		}
	}
	if r.asked() != 1 || outcomes["miss"] != 1 {
		t.Fatalf("%d requests reached the origin, outcomes %v", r.asked(), outcomes)
	}
}

// A request that looked into the memory tier just before a fill was stored and
// into the table of flights just after it was taken out finds what was stored:
// it doesn't ask again.
func TestNobodyAsksForWhatHasJustBeenStored(t *testing.T) {
	r := newRig(t, nil)
	r.say("quick")
	for i := range 300 {
		r.together(8, fmt.Sprintf("/api/listings/%d", i))
		if asked := r.asked(); asked != i+1 {
			t.Fatalf("%d requests reached the origin for %d pages", asked, i+1)
		}
	}
}

// Requests for what can't be stored don't wait for each other (C3): all of
// them are at the origin at the same time.
func TestUncacheableParksNobody(t *testing.T) {
	r := newRig(t, nil)
	const n = 8
	var inside atomic.Int32
	full := make(chan struct{})
	r.answer(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "private")
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		if inside.Add(1) == n {
			close(full)
		}
		<-full // nobody gets an end before all have begun
		_, _ = io.WriteString(w, "mine")
	})
	for _, got := range r.together(n, "/api/listings/1") {
		if got.body != "mine" || !strings.Contains(got.cacheStatus(), "fwd=uri-miss") {
			t.Fatalf("%q %q", got.body, got.cacheStatus())
		}
	}
	// And from now on they don't even try to share.
	r.say("mine", "Cache-Control: private")
	r.want(r.get("/api/listings/1"), "mine", "walpurge; fwd=uri-miss; fwd-status=200; detail=uncacheable")
}

func TestFillSurvivesTheClientThatStartedIt(t *testing.T) {
	r := newRig(t, nil)
	g := newGate()
	r.answer(func(w http.ResponseWriter, _ *http.Request) {
		g.pass()
		_, _ = io.WriteString(w, "kept")
	})
	c := r.dial()
	c.send("GET /api/listings/1 HTTP/1.1\r\nHost: " + strings.TrimPrefix(r.url, "http://") + "\r\n\r\n")
	r.eventually("the fill is at the origin", func() bool { return g.arrived.Load() == 1 })
	_ = c.Close()
	close(g.open)
	r.eventually("the response is stored", func() bool { return r.proxy.memory.Entries() == 1 })
	r.want(r.get("/api/listings/1"), "kept", "walpurge; hit")
}

func TestClientThatVanishesInTheBodyDoesNotHarmTheFill(t *testing.T) {
	r := newRig(t, nil)
	g := newGate()
	big := strings.Repeat("0123456789abcdef", 32<<10) // 512 KiB
	r.answer(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, big[:1000])
		w.(http.Flusher).Flush()
		g.pass()
		_, _ = io.WriteString(w, big[1000:])
	})
	c := r.dial()
	c.send("GET /api/listings/1 HTTP/1.1\r\nHost: " + strings.TrimPrefix(r.url, "http://") + "\r\n\r\n")
	if _, err := c.r.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	close(g.open)
	r.eventually("the response is stored", func() bool { return r.proxy.memory.Entries() == 1 })
	r.want(r.get("/api/listings/1"), big, "walpurge; hit")
}

func TestLeaderGetsTheBodyAsItArrives(t *testing.T) {
	for _, length := range []string{"", "8"} {
		t.Run("Content-Length "+length, func(t *testing.T) {
			r := newRig(t, nil)
			next := make(chan struct{})
			r.answer(func(w http.ResponseWriter, _ *http.Request) {
				if length != "" {
					w.Header().Set("Content-Length", length)
				}
				for range 4 {
					_, _ = io.WriteString(w, "ab")
					w.(http.Flusher).Flush()
					<-next
				}
			})
			resp, err := r.client.Get(r.url + "/api/listings/1")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			for range 4 {
				var two [2]byte
				if _, err := io.ReadFull(resp.Body, two[:]); err != nil || string(two[:]) != "ab" {
					t.Fatal(err, string(two[:]))
				}
				next <- struct{}{} // the origin goes on only once its piece was read here
			}
			if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) > 0 {
				t.Fatal(err, rest)
			}
		})
	}
}

// What ends early or breaks is never stored, and the client sees that it
// broke (C4, H2).
func TestRFC9111Section3_3BrokenResponseIsNotStored(t *testing.T) {
	for name, raw := range map[string]string{
		"shorter than announced": "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
		"chunk cut off":          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
		"no last chunk":          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			r.answer(func(w http.ResponseWriter, _ *http.Request) { hijack(w, raw) })
			for range 2 {
				got, err := r.try("GET", "/api/listings/1", nil)
				// 502 if it broke before anything was sent on, else a broken response.
				if err == nil && got.StatusCode != 502 {
					t.Fatalf("a whole response: %s %q", got.Status, got.body)
				}
			}
			if r.asked() < 2 || r.proxy.memory.Entries() != 0 {
				t.Fatal("stored")
			}
		})
	}
}

func TestWhatFollowsAnAnnouncedLengthIsDropped(t *testing.T) {
	r := newRig(t, nil)
	r.answer(func(w http.ResponseWriter, _ *http.Request) {
		hijack(w, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
	})
	r.want(r.get("/api/listings/1"), "abc", "walpurge; fwd=uri-miss")
	r.want(r.get("/api/listings/1"), "abc", "walpurge; hit")
	if got := r.get("/api/listings/2"); got.body != "abc" {
		t.Fatal(got.body)
	}
}

// hijack answers with raw bytes and closes.
func hijack(w http.ResponseWriter, raw string) {
	c, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	_, _ = io.WriteString(c, raw)
	_ = c.Close()
}

func TestResponseAboveMaxObjectIsPassedOnAndNotKept(t *testing.T) {
	for _, announced := range []bool{true, false} {
		t.Run(fmt.Sprint("announced=", announced), func(t *testing.T) {
			r := newRig(t, func(_ *rig, o *Options) { o.MaxObject = 64 << 10 })
			body := strings.Repeat("0123456789abcdef", 16<<10) // 256 KiB
			r.answer(func(w http.ResponseWriter, _ *http.Request) {
				if announced {
					w.Header().Set("Content-Length", fmt.Sprint(len(body)))
				}
				_, _ = io.WriteString(w, body)
			})
			for range 2 {
				if got := r.get("/api/listings/1"); got.body != body {
					t.Fatalf("%d bytes, want %d (%s)", len(got.body), len(body), got.cacheStatus())
				}
			}
			if r.asked() != 2 || r.proxy.memory.Entries() != 0 {
				t.Fatal("kept")
			}
			for _, got := range r.together(5, "/api/listings/1") {
				if got.body != body {
					t.Fatal(len(got.body))
				}
			}
		})
	}
}

// A stalled origin parks nobody for longer than JoinTimeout: who has waited
// so long asks again, and the others wait for that.
func TestStalledFillDoesNotParkOthers(t *testing.T) {
	r := newRig(t, func(_ *rig, o *Options) { o.JoinTimeout = 30 * time.Millisecond })
	var n atomic.Int32
	release := make(chan struct{})
	r.answer(func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1) == 1 {
			<-release
		}
		_, _ = io.WriteString(w, "answer")
	})
	go func() { _, _ = r.try("GET", "/api/listings/1", nil) }()
	r.eventually("the first is stalled", func() bool { return n.Load() == 1 })
	for _, got := range r.together(5, "/api/listings/1") {
		if got.body != "answer" {
			t.Fatal(got.body)
		}
	}
	close(release)
	if asked := r.asked(); asked > 4 {
		t.Fatalf("%d requests reached the origin", asked)
	}
}

func TestOriginDownIs502AndWhatIsProvenIsServed(t *testing.T) {
	r := newRig(t, nil)
	r.get("/api/listings/1")
	r.origin.CloseClientConnections()
	r.origin.Close()
	r.want(r.get("/api/listings/1"), "ok", "walpurge; hit")
	for _, path := range []string{"/api/listings/2", "/other"} {
		got := r.get(path)
		if got.StatusCode != 502 || got.Header.Get("Content-Type") != "application/problem+json" {
			t.Fatal(got.Status, got.Header)
		}
		if strings.Contains(got.body, "127.0.0.1") || strings.Contains(got.body, "dial") {
			t.Fatalf("the answer names our insides: %s", got.body)
		}
	}
	if got := r.do("POST", "/x", strings.NewReader("y")); got.StatusCode != 502 {
		t.Fatal(got.Status)
	}
}

func TestHandlesAreClosedWithTheirResponses(t *testing.T) {
	r := newRig(t, nil)
	for i := range 50 {
		r.get(fmt.Sprintf("/api/listings/%d", i))
	}
	if n := r.guard.Handles(); n != 50 {
		t.Fatalf("%d handles for 50 responses", n)
	}
	r.say("no", "Cache-Control: no-store")
	r.get("/api/listings/100")
	for i := range 50 {
		r.commit(&row{fmt.Sprint(i), "Lagos", "1"}, nil)
	}
	if n, e := r.guard.Handles(), r.proxy.memory.Entries(); n != 0 || e != 0 {
		t.Fatalf("%d handles, %d entries after every row has changed", n, e)
	}
}

func TestMemoryStaysInItsBounds(t *testing.T) {
	r := newRig(t, func(_ *rig, o *Options) { o.Memory = 1 << 20 })
	r.say(strings.Repeat("x", 10<<10))
	for i := range 300 {
		r.get(fmt.Sprintf("/api/listings/%d", i))
	}
	r.eventually("the tier is back in its bounds", func() bool {
		r.proxy.memory.Settle()
		return r.proxy.memory.Bytes() <= 1<<20 && r.guard.Handles() == r.proxy.memory.Entries()
	})
	if r.proxy.memory.Entries() < 50 {
		t.Fatalf("%d entries", r.proxy.memory.Entries())
	}
}

func TestFillsAtOneTimeAreBounded(t *testing.T) {
	r := newRig(t, func(_ *rig, o *Options) { o.Origin.Concurrency = 2 })
	var inside, most atomic.Int32
	r.answer(func(w http.ResponseWriter, _ *http.Request) {
		n := inside.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		pause(2000)
		inside.Add(-1)
		_, _ = io.WriteString(w, "ok")
	})
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if got, err := r.try("GET", fmt.Sprintf("/api/listings/%d", i), nil); err != nil || got.body != "ok" {
				t.Error(got.body, err)
			}
		}()
	}
	wg.Wait()
	if most.Load() > 2 {
		t.Fatalf("%d at the same time", most.Load())
	}
}
