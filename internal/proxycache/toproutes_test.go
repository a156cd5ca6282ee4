package proxycache

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestStatusTellsWhatIsAskedForMost: requests count for their URL and their route as the hits or the misses
// that they were, on the short way of a hit and on the long one.
func TestStatusTellsWhatIsAskedForMost(t *testing.T) {
	r := newRig(t, nil)
	r.say("x", `ETag: "1"`)
	var asked, hits [2]float64 // the short way and the long one
	for range 6 {
		for way, path := range []string{"/api/listings/1", "/api/listings/2"} {
			var fields []string
			if way == 1 {
				fields = []string{`If-None-Match: "2"`} // looked at closer
			}
			asked[way]++
			if strings.HasPrefix(r.get(path, fields...).cacheStatus(), "walpurge; hit") {
				hits[way]++
			}
		}
	}
	if hits[0] == 0 || hits[1] == 0 {
		t.Fatalf("hits: %v", hits)
	}
	r.get("/api/listings?city=Lagos")
	r.do("POST", "/api/listings", strings.NewReader("{}")) // for the origin: it counts for its route, and not for the hit ratio
	var s struct {
		TopKeys   []topKey   `json:"top_keys"`
		TopRoutes []topRoute `json:"top_routes"`
	}
	r.eventually("all are counted", func() bool { // which is after the response
		s.TopKeys, s.TopRoutes = nil, nil
		if err := json.Unmarshal(r.status(), &s); err != nil {
			t.Fatal(err)
		}
		return len(s.TopRoutes) == 2 && s.TopRoutes[0].Requests+s.TopRoutes[1].Requests == 14
	})

	if len(s.TopKeys) != 3 {
		t.Fatalf("URLs: %+v", s.TopKeys)
	}
	for way, path := range []string{"/api/listings/1", "/api/listings/2"} {
		k := s.TopKeys[way]
		if k.URL != r.url+path || k.Share != asked[way]/13 || k.Hits != hits[way]/asked[way] {
			t.Errorf("%+v; %v requests of 13 were for %s, %v of them hits", k, asked[way], path, hits[way])
		}
	}
	if k := s.TopKeys[2]; k.URL != r.url+"/api/listings?city=Lagos" || k.Hits != 0 {
		t.Errorf("%+v", k)
	}
	detail, list := s.TopRoutes[0], s.TopRoutes[1]
	if detail.Route != "/api/listings/{id}" || detail.Requests != 12 || detail.Hits == nil || *detail.Hits != (hits[0]+hits[1])/12 {
		t.Errorf("%+v; %v hits", detail, hits)
	}
	if list.Route != "/api/listings" || list.Requests != 2 || list.Hits == nil || *list.Hits != 0 {
		t.Errorf("%+v", list)
	}
}

// status is what /status shows of the proxy.
func (r *rig) status() []byte {
	r.t.Helper()
	b, err := json.Marshal(r.proxy.Status())
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}
