package scenario

import (
	"net/http"
	"strings"
	"testing"

	"walpurge/dev/testbed"
	"walpurge/test/rig"
)

// TestStaleIfErrorWhileCutOff: the database's log is cut off and the origin is
// down. A route that says stale_if_error is served from memory, another is
// not, and what was evicted before is not. With the origin back it answers, and
// with the log back a new epoch begins, which is counted and logged once.
func TestStaleIfErrorWhileCutOff(t *testing.T) {
	db := testbed.Database(t)
	cable, throughCable := rig.NewCable(t, db)
	routes := strings.Replace(rig.Routes, "  - path: /api/listings\n", "  - path: /api/listings\n    stale_if_error: 1h\n", 1)
	r := rig.New(t, rig.Options{DBURL: db, PgURL: throughCable, Extra: "max_lag: 300ms\n", Routes: routes})
	r.Insert(1, "one", "Lagos", "house", 3, "100")
	r.CaughtUp()
	kept, dropped, other := "/api/listings?city=Lagos", "/api/listings?city=Kano", "/api/listings/1"
	r.Warm(kept, dropped, other)
	r.Insert(2, "two", "Kano", "house", 3, "100")
	r.CaughtUp()

	// No refill may put the evicted page back, so the origin goes first.
	down := func(w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return true
	}
	r.Hook.Store(&down)
	cable.Cut()
	r.Eventually("freshness can't be proven", func() bool {
		return strings.HasSuffix(r.Get(kept).Header.Get("Cache-Status"), "; detail=unproven")
	})
	r.Exec(`update listings set title = 'edited' where id = 1`)
	if got := r.Get(kept); got.Status != 200 || !got.Hit() || !strings.Contains(got.Body, `"one"`) {
		t.Errorf("%d %q %s", got.Status, got.Header.Get("Cache-Status"), got.Body)
	}
	for _, path := range []string{dropped, other} {
		if got := r.Get(path); got.Status != http.StatusServiceUnavailable || got.Hit() {
			t.Errorf("%s: %d %q %s", path, got.Status, got.Header.Get("Cache-Status"), got.Body)
		}
	}
	if n := r.Metric("walpurge_requests_total", `route="/api/listings"`, `outcome="stale"`); n < 2 {
		t.Errorf("%v requests are counted as stale", n)
	}

	r.Hook.Store(nil)
	for range 3 {
		for _, path := range []string{kept, other} {
			if got := r.Get(path); got.Hit() || !strings.Contains(got.Body, "edited") {
				t.Errorf("the origin is up: %q %s", got.Header.Get("Cache-Status"), got.Body)
			}
		}
	}
	if n := len(r.Logged.After(0, `counts" reason=start`)); n != 1 || r.Metric("walpurge_epochs_total") != 1 {
		t.Errorf("the first epoch was logged %d times; %v epochs", n, r.Metric("walpurge_epochs_total"))
	}
	cable.Mend()
	r.Warm(kept, dropped, other)
	if got := r.Get(kept); !strings.Contains(got.Body, "edited") {
		t.Errorf("in the new epoch: %q %s", got.Header.Get("Cache-Status"), got.Body)
	}
	// Without Redis the slot ended with its connection. Two pages had been kept.
	if n := r.Metric("walpurge_epochs_total", `reason="temporary"`); n != 1 {
		t.Errorf("%v epochs for the slot", n)
	}
	if lines := r.Logged.After(0, `counts" reason=temporary`); len(lines) != 1 || !strings.Contains(lines[0], "dropped=2") {
		t.Errorf("logged: %q", lines)
	}
}
