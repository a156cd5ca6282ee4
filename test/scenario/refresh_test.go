package scenario

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"walpurge/dev/testbed"
	"walpurge/test/rig"
)

func TestUpdateIsSeenAndOthersStayHits(t *testing.T) {
	r := rig.New(t, rig.Options{})
	r.Insert(1, "one", "Lagos", "house", 3, "100")
	r.Insert(2, "two", "Accra", "house", 3, "100")
	r.CaughtUp()
	other := []string{"/api/listings/2", "/api/listings?city=Accra", "/api/listings?city=Lagos&bedrooms=5"}
	r.Warm("/api/listings/1", "/api/listings?city=Lagos")
	r.Warm(other...)

	var took []time.Duration
	for i := range 20 {
		title := fmt.Sprintf("edited %d", i)
		r.Exec(`update listings set title = $1 where id = 1`, title)
		committed := time.Now()
		r.Eventually("the edit shows", func() bool { return strings.Contains(r.Get("/api/listings/1").Body, title) })
		took = append(took, time.Since(committed))
		if !strings.Contains(r.Get("/api/listings?city=Lagos").Body, title) {
			t.Error("the list does not show what the detail shows")
		}
		r.StillHits(other...)
		r.CaughtUp()
		r.Warm("/api/listings/1", "/api/listings?city=Lagos")
	}
	slices.Sort(took)
	testbed.Measured(t, "commit to new content: median %v, worst %v of %d", took[len(took)/2], took[len(took)-1], len(took))
	if m := took[len(took)/2]; m > 50*time.Millisecond {
		t.Errorf("commit to new content: median %v, want at most 50 ms", m)
	}
}

func TestColumnsThatDoNotCountPurgeNothing(t *testing.T) {
	r := rig.New(t, rig.Options{})
	r.Insert(1, "one", "Lagos", "house", 3, "100")
	r.CaughtUp()
	r.Warm("/api/listings?city=Lagos", "/api/listings/1")
	r.Exec(`update listings set updated_at = now() where id = 1`)
	r.CaughtUp()
	r.StillHits("/api/listings?city=Lagos")
	r.Misses("/api/listings/1") // the detail shows updated_at and declares no columns
}

func TestMoveRefreshesBothCities(t *testing.T) {
	r := rig.New(t, rig.Options{})
	r.Insert(1, "moving", "Lagos", "house", 3, "100")
	r.CaughtUp()
	r.Warm("/api/listings?city=Lagos", "/api/listings?city=Accra", "/api/listings?city=Nairobi", "/api/listings")
	r.Exec(`update listings set city = 'Accra' where id = 1`)
	r.CaughtUp()
	r.StillHits("/api/listings?city=Nairobi")
	r.Misses("/api/listings")
	if p := r.Get("/api/listings?city=Lagos"); p.Hit() || strings.Contains(p.Body, "moving") {
		t.Errorf("Lagos still shows it: %s", p.Body)
	}
	if p := r.Get("/api/listings?city=Accra"); p.Hit() || !strings.Contains(p.Body, "moving") {
		t.Errorf("Accra doesn't show it: %s", p.Body)
	}
}

func TestPriceChangeRefreshesTheRangesThatHoldIt(t *testing.T) {
	r := rig.New(t, rig.Options{})
	r.Insert(1, "one", "Lagos", "house", 3, "100")
	r.CaughtUp()
	holds := []string{"/api/listings?min_price=50&max_price=150", "/api/listings?min_price=500", "/api/listings?max_price=100.00&city=Lagos"}
	others := []string{"/api/listings?min_price=150.01&max_price=499.99", "/api/listings?max_price=99.99", "/api/listings?min_price=50&max_price=150&city=Accra"}
	r.Warm(holds...)
	r.Warm(others...)
	r.Exec(`update listings set price = 500 where id = 1`)
	r.CaughtUp()
	r.StillHits(others...)
	r.Misses(holds...)
}

func TestInsertEndsACached404(t *testing.T) {
	r := rig.New(t, rig.Options{})
	r.Warm("/api/listings/77", "/api/listings/78")
	if p := r.Get("/api/listings/77"); p.Status != 404 {
		t.Fatalf("status %d, want 404", p.Status)
	}
	r.Insert(77, "new", "Lagos", "house", 1, "5")
	r.CaughtUp()
	if p := r.Get("/api/listings/77"); p.Status != 200 || !strings.Contains(p.Body, "new") {
		t.Errorf("status %d, want the new listing: %s", p.Status, p.Body)
	}
	r.StillHits("/api/listings/78")
	r.Exec(`delete from listings where id = 77`)
	r.CaughtUp()
	if p := r.Get("/api/listings/77"); p.Status != 404 {
		t.Errorf("status %d after the delete, want 404", p.Status)
	}
}

func TestRollbackPurgesNothing(t *testing.T) {
	r := rig.New(t, rig.Options{})
	r.Insert(1, "one", "Lagos", "house", 3, "100")
	r.CaughtUp()
	r.Warm("/api/listings/1", "/api/listings?city=Lagos")
	tx, err := r.DB.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `update listings set title = 'never' where id = 1`); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `select pg_logical_emit_message(true, 'walpurge', 'everything')`); err != nil {
		t.Fatal(err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.CaughtUp()
	r.StillHits("/api/listings/1", "/api/listings?city=Lagos")
}

func TestBulkAndTruncatePurgeTheTable(t *testing.T) {
	r := rig.New(t, rig.Options{Extra: "bulk_rows: 10\n"})
	for i := range 30 {
		r.Insert(i+1, "bulk", "Lagos", "house", 3, "100")
	}
	r.CaughtUp()
	r.Warm("/api/listings?city=Accra", "/api/listings/99")
	r.Exec(`update listings set price = price + 1`)
	r.CaughtUp()
	r.Misses("/api/listings?city=Accra", "/api/listings/99")
	r.CaughtUp()
	r.Warm("/api/listings?city=Accra", "/api/listings/99")
	r.Exec(`truncate listings`)
	r.CaughtUp()
	r.Misses("/api/listings?city=Accra", "/api/listings/99")
}

func TestWithRedisTheSameHolds(t *testing.T) {
	r := rig.New(t, rig.Options{Redis: testbed.SharedRedis(t)})
	r.Insert(1, "one", "Lagos", "house", 3, "100")
	r.CaughtUp()
	r.Warm("/api/listings/1")
	r.Exec(`update listings set title = 'edited' where id = 1`)
	r.CaughtUp()
	if p := r.Get("/api/listings/1"); p.Hit() || !strings.Contains(p.Body, "edited") {
		t.Errorf("%q: %s", p.Header.Get("Cache-Status"), p.Body)
	}
}
