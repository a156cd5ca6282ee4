package proxycache

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"walpurge/internal/coherence"
	"walpurge/internal/expr"
	"walpurge/internal/proxycache/route"
)

// liveRig is a rig with a feed that pauses for as good as no time.
func liveRig(t *testing.T, change func(*Options)) *rig {
	t.Helper()
	r := newRig(t, func(_ *rig, o *Options) {
		o.Routes = append(o.Routes, route.Declaration{Pattern: "/live", Events: true})
		if change != nil {
			change(o)
		}
	})
	r.proxy.feed.Pause = time.Millisecond
	return r
}

// listening is one open stream of events.
type listening struct {
	t    *testing.T
	body io.ReadCloser
	in   *bufio.Reader
}

func (r *rig) feed(t *testing.T, page string) *listening {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, "GET", r.url+"/live?url="+url.QueryEscape(page), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := r.client.Transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("feed of %s: %d %v", page, resp.StatusCode, resp.Header)
	}
	f := &listening{t, resp.Body, bufio.NewReader(resp.Body)}
	if got := f.next(); !strings.Contains(got, ": listening") {
		t.Fatalf("the feed begins with %q", got)
	}
	return f
}

// next is what comes up to the next empty line; "" at the end.
func (f *listening) next() string {
	var b strings.Builder
	for {
		line, err := f.in.ReadString('\n')
		if err != nil || line == "\n" {
			return b.String()
		}
		b.WriteString(line)
	}
}

const purgedEvent = "event: purged\ndata: purged\n"

// TestFeedTellsOfTheNamedPageAlone: two pages listen; each hears of its own rows, whether or not a response
// is stored, and in the order of the commits nothing else comes between.
func TestFeedTellsOfTheNamedPageAlone(t *testing.T) {
	r := liveRig(t, nil)
	one, list := r.feed(t, "/api/listings/1"), r.feed(t, "/api/listings?city=Lagos&max_price=100")
	told := func() float64 { return metricValue(t, r, "walpurge_live_events_total") }
	r.commit(nil, &row{"2", "Quito", "50"})  // nobody's
	r.commit(nil, &row{"3", "Lagos", "200"}) // too dear
	r.commit(nil, &row{"4", "Lagos", "50"})
	if got := list.next(); got != purgedEvent {
		t.Fatalf("the list heard %q", got)
	}
	r.commit(&row{"1", "Quito", "1"}, &row{"1", "Quito", "2"})
	if got := one.next(); got != purgedEvent {
		t.Fatalf("the page heard %q", got)
	}
	if n := told(); n != 2 {
		t.Errorf("%v events for two changes of what is shown", n)
	}
	if p := r.asked(); p != 0 {
		t.Errorf("the origin was asked %d times", p)
	}
}

// TestFeedWaitsUntilTheCommitCanBeSeen: a page that refreshes at once must not get the old content.
func TestFeedWaitsUntilTheCommitCanBeSeen(t *testing.T) {
	r := liveRig(t, nil)
	f := r.feed(t, "/api/listings/1")
	r.decode(nil, &row{"1", "Lagos", "1"})
	heard := make(chan string, 1)
	go func() { heard <- f.next() }()
	late := r.feed(t, "/api/listings/1") // begins while the commit is pending
	select {
	case got := <-heard:
		t.Fatalf("heard %q of a commit that nobody can see", got)
	default:
	}
	if n := metricValue(t, r, "walpurge_live_events_total"); n != 0 {
		t.Fatalf("%v events", n)
	}
	r.settle()
	if got := <-heard; got != purgedEvent {
		t.Errorf("heard %q", got)
	}
	if got := late.next(); got != purgedEvent {
		t.Errorf("who came while it was pending heard %q", got)
	}
}

func TestFeedTellsOfANewEpoch(t *testing.T) {
	r := liveRig(t, nil)
	f := r.feed(t, "/api/listings/1")
	r.guard.Reset(8, r.lsn+1000)
	if got := f.next(); got != purgedEvent {
		t.Errorf("heard %q", got)
	}
}

func TestFeedSaysWhatItCannotWatch(t *testing.T) {
	r := liveRig(t, func(o *Options) {
		personal := o.Routes[0]
		personal.Pattern, personal.Vary = "/mine/{id}", []route.Key{{Source: expr.Cookie, Name: "session"}}
		o.Routes = append(o.Routes, personal)
	})
	for query, want := range map[string]string{
		"": "Name one page", "?url=/api/listings/1&url=/api/listings/2": "Name one page",
		"?url=http://other/api/listings/1": "not the path", "?url=/api/%2e%2e/x": "not the path",
		"?url=/api/listings/1%0d%0a": "not the path", "?url=" + strings.Repeat("/x", feedURL): "not the path",
		"?url=/plain/x": "no depends_on", "?url=/elsewhere": "no depends_on", "?url=/live": "no depends_on",
		"?url=/mine/1": "for one person",
	} {
		if got := r.get("/live" + query); got.StatusCode != 422 || !strings.Contains(got.body, want) {
			t.Errorf("%s: %d %s", query, got.StatusCode, got.body)
		}
	}
	if got := r.do("POST", "/live?url=/api/listings/1", nil); got.StatusCode != 405 || got.Header.Get("Allow") != "GET" {
		t.Errorf("POST: %d %v", got.StatusCode, got.Header)
	}
	if n := r.asked(); n != 0 {
		t.Errorf("the origin was asked %d times", n)
	}
}

// TestListenersAreBoundedAndLeaveNothing: one too many is refused, and who leaves makes room and is forgotten by the guard.
func TestListenersAreBoundedAndLeaveNothing(t *testing.T) {
	r := liveRig(t, nil)
	r.proxy.feed.Listeners = 1
	first := r.feed(t, "/api/listings/1")
	if got := r.get("/live?url=/api/listings/1"); got.StatusCode != 503 || got.Header.Get("Retry-After") == "" {
		t.Errorf("one too many: %d %v", got.StatusCode, got.Header)
	}
	if err := first.body.Close(); err != nil {
		t.Fatal(err)
	}
	r.eventually("the guard forgets the page", func() bool { return r.guard.Handles() == 0 })
	r.feed(t, "/api/listings/1")
}

// TestFeedEndsWithItsRoutes: a page watched by a declaration that is no more must not go on believing it.
func TestFeedEndsWithItsRoutes(t *testing.T) {
	r := liveRig(t, nil)
	r.proxy.feed.Heartbeat = 10 * time.Millisecond
	f := r.feed(t, "/api/listings/1")
	if got := f.next(); got != ":\n" {
		t.Fatalf("no heartbeat: %q", got)
	}
	adopt, err := r.proxy.Prepare(append(testRoutes(), route.Declaration{Pattern: "/live", Events: true}))
	if err != nil {
		t.Fatal(err)
	}
	adopt()
	for f.next() != "" {
		continue
	}
}

func TestEventsNeedADatabase(t *testing.T) {
	if _, err := route.New(route.Declaration{Pattern: "/live", Events: true}, nil); err == nil || !strings.Contains(err.Error(), "postgres.url") {
		t.Error(err)
	}
}

// TestServerTimingTellsHowARequestWasAnswered, and is silent unless it is asked for.
func TestServerTimingTellsHowARequestWasAnswered(t *testing.T) {
	r := newRig(t, func(_ *rig, o *Options) { o.ServerTiming = true })
	r.say("x", `ETag: "1"`)
	at := coherence.LSN(1000).String()
	for _, c := range []struct{ path, fields, want string }{
		{"/api/listings/1", "", `cache;desc=uri-miss, position;desc="` + at + `"`},
		{"/api/listings/1", "", `cache;desc=hit, age;dur=5000, position;desc="` + at + `"`},
		{"/api/listings/1", `If-None-Match: "1"`, `cache;desc=hit, age;dur=5000, position;desc="` + at + `"`},
		{"/plain/a", "Cache-Control: no-store", "cache;desc=request"},
	} {
		var fields []string
		if c.fields != "" {
			fields = []string{c.fields}
		}
		got := r.get(c.path, fields...).Header.Get("Server-Timing")
		before, after, aged := strings.Cut(got, "age;dur=5")
		if aged { // some milliseconds pass
			got = before + "age;dur=5000" + after[3:]
		}
		if got != c.want {
			t.Errorf("%s %s: %q, want %q", c.path, c.fields, got, c.want)
		}
		r.now.Store(int64(5 * time.Second))
	}
	quiet := newRig(t, nil)
	quiet.get("/api/listings/1")
	if got := quiet.get("/api/listings/1"); got.Header.Get("Server-Timing") != "" {
		t.Errorf("unasked: %v", got.Header)
	}
}

// metricValue is the value of a metric without labels.
func metricValue(t *testing.T, r *rig, name string) float64 {
	t.Helper()
	families, err := r.proxy.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue() + f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}
