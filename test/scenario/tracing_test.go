package scenario

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"walpurge/test/rig"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

const (
	traceID     = "4bf92f3577b34da6a3ce929d0e0e4736"
	traceparent = "00-" + traceID + "-00f067aa0ba902b7-01"
)

// receiver takes spans as a collector does.
type receiver struct {
	*httptest.Server
	mu   sync.Mutex
	seen []*spans.Span
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		var export collector.ExportTraceServiceRequest
		if err != nil || req.URL.Path != "/v1/traces" || proto.Unmarshal(body, &export) != nil {
			t.Errorf("%s: %v", req.URL.Path, err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, resource := range export.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				r.seen = append(r.seen, scope.Spans...)
			}
		}
	}))
	t.Cleanup(r.Close)
	return r
}

// find returns the first span of a name.
func (r *receiver) find(name string) *spans.Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.seen {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// atOrigin remembers the traceparent of each request that reaches the origin.
func atOrigin(r *rig.Rig) func() []string {
	var mu sync.Mutex
	var seen []string
	hook := func(_ http.ResponseWriter, req *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, req.Header.Get("Traceparent"))
		return false
	}
	r.Hook.Store(&hook)
	return func() []string { mu.Lock(); defer mu.Unlock(); return append([]string{}, seen...) }
}

// TestTracesReachTheCollector: what a client began goes on through the proxy to
// the origin, and the collector gets the proxy's part of it.
func TestTracesReachTheCollector(t *testing.T) {
	c := newReceiver(t)
	r := rig.New(t, rig.Options{Extra: "tracing: { url: " + c.URL + ", sample: 0 }\n"})
	seen := atOrigin(r)
	page := "/api/listings?city=Lagos"
	r.Get(page, "Traceparent", traceparent)
	var fill, miss *spans.Span
	r.Eventually("spans of the miss and its fill", func() bool {
		miss, fill = c.find("miss /api/listings"), c.find("fill /api/listings")
		return miss != nil && fill != nil
	})
	if string(fill.ParentSpanId) != string(miss.SpanId) {
		t.Error("the fill is no part of the miss")
	}
	if got := seen(); len(got) != 1 || !strings.HasPrefix(got[0], "00-"+traceID+"-") || got[0] == traceparent {
		t.Errorf("the origin got the traceparents %q", got)
	}
	// A hit is no work of the origin's, and has no span. A trace that begins here is left out at this share.
	r.Warm(page)
	r.Get("/other")
	r.Exec(`insert into agents (id, name, phone, email) values (1, 'A', '1', 'a@example.org') on conflict do nothing`)
	r.Get("/last", "Traceparent", traceparent)
	r.Eventually("the span of what was asked last", func() bool { return len(c.named("other")) > 0 })
	if n := len(c.named("other")); n != 1 {
		t.Errorf("%d spans of requests without a route, want that of the sampled one", n)
	}
	if hits := c.named("hit "); len(hits) > 0 {
		t.Errorf("a hit has the span %s", hits[0].Name)
	}
}

// named lists the spans whose name contains part.
func (r *receiver) named(part string) (list []*spans.Span) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.seen {
		if strings.Contains(s.Name, part) && !strings.HasPrefix(s.Name, "fill") {
			list = append(list, s)
		}
	}
	return list
}

// TestPurgesAreTraced, with what they dropped.
func TestPurgesAreTraced(t *testing.T) {
	c := newReceiver(t)
	r := rig.New(t, rig.Options{Extra: "tracing: { url: " + c.URL + " }\n"})
	r.Warm("/api/listings?city=Lagos")
	r.Exec(`insert into agents (id, name, phone, email) values (1, 'A', '1', 'a@example.org') on conflict do nothing`)
	r.Eventually("a span of the purge", func() bool { return c.find("purge") != nil })
	text := c.find("purge").String()
	if !strings.Contains(text, "walpurge.purged") || !strings.Contains(text, "public.agents") {
		t.Errorf("the span doesn't say what was dropped: %s", text)
	}
}

// TestTraceparentIsPassedOn without any endpoint.
func TestTraceparentIsPassedOn(t *testing.T) {
	r := rig.New(t, rig.Options{})
	seen := atOrigin(r)
	for _, path := range []string{"/api/listings?city=Lagos", "/other"} {
		r.Get(path, "Traceparent", traceparent)
	}
	if got := seen(); len(got) != 2 || got[0] != traceparent || got[1] != traceparent {
		t.Errorf("the origin got %q", got)
	}
}
