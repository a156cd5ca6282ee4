package sidecar

import (
	"net/http"
	"strings"
	"testing"

	"walpurge/dev/testbed"
)

// TestStaleIfErrorWhileCutOff: the database's log is cut off and the origin is
// down. A route that says stale_if_error is served from memory, another is
// not, and what was evicted before is not. With the origin back it answers, and
// with the log back a new epoch begins, which is counted and logged once.
func TestStaleIfErrorWhileCutOff(t *testing.T) {
	db := testbed.Database(t)
	cable, throughCable := newCable(t, db)
	routes := strings.Replace(rigRoutes, "  - path: /api/listings\n", "  - path: /api/listings\n    stale_if_error: 1h\n", 1)
	r := newRig(t, rigOptions{dbURL: db, pgURL: throughCable, extra: "max_lag: 300ms\n", routes: routes})
	r.insert(1, "one", "Lagos", "house", 3, "100")
	r.caughtUp()
	kept, dropped, other := "/api/listings?city=Lagos", "/api/listings?city=Kano", "/api/listings/1"
	r.warm(kept, dropped, other)
	r.insert(2, "two", "Kano", "house", 3, "100")
	r.caughtUp()

	// No refill may put the evicted page back, so the origin goes first.
	down := func(w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return true
	}
	r.hook.Store(&down)
	cable.cut()
	r.eventually("freshness can't be proven", func() bool {
		return strings.HasSuffix(r.get(kept).header.Get("Cache-Status"), "; detail=unproven")
	})
	r.exec(`update listings set title = 'edited' where id = 1`)
	if got := r.get(kept); got.status != 200 || !got.hit() || !strings.Contains(got.body, `"one"`) {
		t.Errorf("%d %q %s", got.status, got.header.Get("Cache-Status"), got.body)
	}
	for _, path := range []string{dropped, other} {
		if got := r.get(path); got.status != http.StatusServiceUnavailable || got.hit() {
			t.Errorf("%s: %d %q %s", path, got.status, got.header.Get("Cache-Status"), got.body)
		}
	}
	if n := r.metric("walpurge_requests_total", `route="/api/listings"`, `outcome="stale"`); n < 2 {
		t.Errorf("%v requests are counted as stale", n)
	}

	r.hook.Store(nil)
	for range 3 {
		for _, path := range []string{kept, other} {
			if got := r.get(path); got.hit() || !strings.Contains(got.body, "edited") {
				t.Errorf("the origin is up: %q %s", got.header.Get("Cache-Status"), got.body)
			}
		}
	}
	if n := len(r.logged.after(0, `counts" reason=start`)); n != 1 || r.metric("walpurge_epochs_total") != 1 {
		t.Errorf("the first epoch was logged %d times; %v epochs", n, r.metric("walpurge_epochs_total"))
	}
	cable.mend()
	r.warm(kept, dropped, other)
	if got := r.get(kept); !strings.Contains(got.body, "edited") {
		t.Errorf("in the new epoch: %q %s", got.header.Get("Cache-Status"), got.body)
	}
	// Without Redis the slot ended with its connection. Two pages had been kept.
	if n := r.metric("walpurge_epochs_total", `reason="temporary"`); n != 1 {
		t.Errorf("%v epochs for the slot", n)
	}
	if lines := r.logged.after(0, `counts" reason=temporary`); len(lines) != 1 || !strings.Contains(lines[0], "dropped=2") {
		t.Errorf("logged: %q", lines)
	}
}
