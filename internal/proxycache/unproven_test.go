package proxycache

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"walpurge/internal/coherence"
)

// lenientRig has a list route that may be served within a minute of the last
// proof when the origin fails, and a detail route that may not.
func lenientRig(t *testing.T, change func(*Options)) *rig {
	return newRig(t, func(r *rig, o *Options) {
		minute := time.Minute
		for i := range o.Routes {
			o.Routes[i].MaxLag = time.Second
		}
		o.Routes[1].StaleIfError = &minute
		o.Positions.Ask = func(context.Context) (coherence.Position, error) {
			return coherence.Position{Epoch: r.guard.Epoch(), LSN: r.guard.Applied()}, nil
		}
		if change != nil {
			change(o)
		}
	})
}

func (r *rig) count(route, outcome string) float64 {
	r.t.Helper()
	families, err := r.proxy.Registry().Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "walpurge_requests_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["route"] == route && labels["outcome"] == outcome {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// down makes the origin fail: with a status, or by cutting the connection off.
func (r *rig) down(status int) {
	r.answer(func(w http.ResponseWriter, _ *http.Request) {
		if status == 0 {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "broken")
	})
}

// While freshness can't be proven, the origin answers. If it fails too, what
// is stored stands in, on a route that says so and as long as it says.
func TestUnprovenStandsInForAFailingOrigin(t *testing.T) {
	r := lenientRig(t, nil)
	list, detail, plain := "/api/listings?city=Lagos", "/api/listings/1", "/plain/a"
	r.say("one", "Cache-Control: max-age=3600", "Etag: \"1\"")
	for _, path := range []string{list, "/api/listings?city=Accra", detail, plain} {
		r.get(path)
	}
	// The list of Accra is evicted: it is never served again.
	r.commit(nil, &row{"7", "Accra", "1"})
	r.prove()
	r.now.Add(int64(2 * time.Second))

	for _, status := range []int{0, 500, 502, 503, 504} {
		r.down(status)
		got := r.get(list)
		r.want(got, "one", "walpurge; hit; ttl=359")
		if !strings.HasSuffix(got.cacheStatus(), "; detail=unproven") || got.StatusCode != 200 {
			t.Errorf("status %d: %s, Cache-Status %q", status, got.Status, got.cacheStatus())
		}
		if got := r.get(list, `If-None-Match: "1"`); got.StatusCode != 304 {
			t.Errorf("status %d: a conditional request gets %s", status, got.Status)
		}
		for _, path := range []string{"/api/listings?city=Accra", detail} {
			if got := r.get(path); got.StatusCode < 500 || strings.Contains(got.cacheStatus(), "hit") {
				t.Errorf("status %d, %s: %s with %q", status, path, got.Status, got.cacheStatus())
			}
		}
		r.want(r.get(plain), "one", "walpurge; hit")
	}
	for _, status := range []int{400, 404, 501, 505} {
		r.down(status)
		if got := r.get(list); got.StatusCode != status {
			t.Errorf("status %d: %s with %q", status, got.Status, got.cacheStatus())
		}
	}
	if n := r.count("/api/listings", "stale"); n != 10 {
		t.Errorf("%v counted as stale, want 10", n)
	}

	// What asks for more than the last proof gets no less than the origin.
	r.down(503)
	for _, field := range []string{"Walpurge-Position: 0000000000000007.FFFFFFFF/0", "Walpurge-Position: nonsense", "Cache-Control: no-cache", "Cache-Control: max-age=0", "Authorization: x"} {
		if got := r.get(list, field); got.StatusCode != 503 {
			t.Errorf("%s: %s with %q", field, got.Status, got.cacheStatus())
		}
	}
	r.want(r.get(list, "Walpurge-Position: 0000000000000007.0/1"), "one", "walpurge; hit")

	// The origin is up again: it answers, and nothing is stored.
	r.say("two")
	for range 2 {
		r.want(r.get(list), "two", "walpurge; fwd=bypass; fwd-status=200; detail=unproven")
	}
	// A minute after the last proof it is over.
	r.now.Add(int64(57 * time.Second))
	r.down(503)
	r.want(r.get(list), "one", "walpurge; hit")
	r.now.Add(int64(2 * time.Second))
	if got := r.get(list); got.StatusCode != 503 {
		t.Errorf("after a minute: %s with %q", got.Status, got.cacheStatus())
	}
	// Proven again, it is a hit like any other.
	r.prove()
	r.want(r.get(list), "one", "walpurge; hit")
	if n := r.count("/api/listings", "stale"); n != 12 {
		t.Errorf("%v counted as stale, want 12", n)
	}
	// Without a proof that counts there is no last one, and what a change
	// touches while nothing is proven is gone.
	r.guard.Unprove()
	if got := r.get(list); got.StatusCode != 503 {
		t.Errorf("without any proof: %s with %q", got.Status, got.cacheStatus())
	}
	r.prove()
	r.now.Add(int64(2 * time.Second))
	r.want(r.get(list), "one", "walpurge; hit")
	r.decode(nil, &row{"8", "Lagos", "1"})
	if got := r.get(list); got.StatusCode != 503 {
		t.Errorf("after an eviction: %s with %q", got.Status, got.cacheStatus())
	}
}

// A new epoch leaves nothing that could stand in.
func TestNothingStandsInAfterANewEpoch(t *testing.T) {
	r := lenientRig(t, nil)
	r.say("one")
	r.get("/api/listings")
	r.down(503)
	r.guard.Unprove()
	if got := r.get("/api/listings"); got.StatusCode != 503 {
		t.Errorf("without any proof: %s with %q", got.Status, got.cacheStatus())
	}
	r.guard.Reset(8, 5000)
	for _, prove := range []bool{false, true} {
		if prove {
			r.prove()
		}
		if got := r.get("/api/listings"); got.StatusCode != 503 {
			t.Errorf("%s with %q", got.Status, got.cacheStatus())
		}
	}
}
