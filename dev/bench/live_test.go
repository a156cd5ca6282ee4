package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// What is in use is asked for when the collector has run: what isn't in use any more doesn't count.
func TestWhatEntriesTakeIsWhatTheCollectorLeaves(t *testing.T) {
	entries, garbage := 1000, 9_000_000
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/heap", func(_ http.ResponseWriter, r *http.Request) {
		if r.FormValue("gc") == "1" {
			garbage /= 3                         // the first run lets some of it lie
			garbage *= min(1, garbage/2_000_000) // and the second nothing
		}
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, "# HELP x\n%s %d\n%s_more 1\n%s %d\n", liveMetric, 5_000_000+300*entries+garbage, liveMetric, entriesMetric, entries)
	})
	proxy := httptest.NewServer(mux)
	defer proxy.Close()
	admin := strings.TrimPrefix(proxy.URL, "http://")
	before, err := hold(context.Background(), admin)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := before.since(before); err == nil {
		t.Error("nothing was stored, and it takes something")
	}
	entries, garbage = 21_000, 12_000_000 // more than before, so that what one run leaves doesn't cancel out
	after, err := hold(context.Background(), admin)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := after.since(before); err != nil || got != 300 {
		t.Errorf("%v, %v", got, err)
	}
	for _, broken := range []string{"/debug/pprof/heap", "/metrics"} {
		some := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == broken {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			mux.ServeHTTP(w, r)
		}))
		if got, err := hold(context.Background(), strings.TrimPrefix(some.URL, "http://")); err == nil {
			t.Errorf("without %s: %v", broken, got)
		}
		some.Close()
	}
}
