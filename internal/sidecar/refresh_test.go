package sidecar

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"walpurge/dev/testbed"
)

// insert adds a listing with defaults for what the test doesn't care about.
func (r *rig) insert(id int, title, city, kind string, bedrooms int, price string) {
	r.t.Helper()
	r.exec(`insert into listings (id, title, price, city, property_type, bedrooms) values ($1, $2, $3::text::numeric, $4, $5, $6)`,
		id, title, price, city, kind, bedrooms)
}

func TestUpdateIsSeenAndOthersStayHits(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.insert(1, "one", "Lagos", "house", 3, "100")
	r.insert(2, "two", "Accra", "house", 3, "100")
	r.caughtUp()
	other := []string{"/api/listings/2", "/api/listings?city=Accra", "/api/listings?city=Lagos&bedrooms=5"}
	r.warm("/api/listings/1", "/api/listings?city=Lagos")
	r.warm(other...)

	var took []time.Duration
	for i := range 20 {
		title := fmt.Sprintf("edited %d", i)
		r.exec(`update listings set title = $1 where id = 1`, title)
		committed := time.Now()
		r.eventually("the edit shows", func() bool { return strings.Contains(r.get("/api/listings/1").body, title) })
		took = append(took, time.Since(committed))
		if !strings.Contains(r.get("/api/listings?city=Lagos").body, title) {
			t.Error("the list does not show what the detail shows")
		}
		r.stillHits(other...)
		r.caughtUp()
		r.warm("/api/listings/1", "/api/listings?city=Lagos")
	}
	slices.Sort(took)
	testbed.Measured(t, "commit to new content: median %v, worst %v of %d", took[len(took)/2], took[len(took)-1], len(took))
	if m := took[len(took)/2]; m > 50*time.Millisecond {
		t.Errorf("commit to new content: median %v, want at most 50 ms", m)
	}
}

func TestColumnsThatDoNotCountPurgeNothing(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.insert(1, "one", "Lagos", "house", 3, "100")
	r.caughtUp()
	r.warm("/api/listings?city=Lagos", "/api/listings/1")
	r.exec(`update listings set updated_at = now() where id = 1`)
	r.caughtUp()
	r.stillHits("/api/listings?city=Lagos")
	r.misses("/api/listings/1") // the detail shows updated_at and declares no columns
}

func TestMoveRefreshesBothCities(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.insert(1, "moving", "Lagos", "house", 3, "100")
	r.caughtUp()
	r.warm("/api/listings?city=Lagos", "/api/listings?city=Accra", "/api/listings?city=Nairobi", "/api/listings")
	r.exec(`update listings set city = 'Accra' where id = 1`)
	r.caughtUp()
	r.stillHits("/api/listings?city=Nairobi")
	r.misses("/api/listings")
	if p := r.get("/api/listings?city=Lagos"); p.hit() || strings.Contains(p.body, "moving") {
		t.Errorf("Lagos still shows it: %s", p.body)
	}
	if p := r.get("/api/listings?city=Accra"); p.hit() || !strings.Contains(p.body, "moving") {
		t.Errorf("Accra doesn't show it: %s", p.body)
	}
}

func TestPriceChangeRefreshesTheRangesThatHoldIt(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.insert(1, "one", "Lagos", "house", 3, "100")
	r.caughtUp()
	holds := []string{"/api/listings?min_price=50&max_price=150", "/api/listings?min_price=500", "/api/listings?max_price=100.00&city=Lagos"}
	others := []string{"/api/listings?min_price=150.01&max_price=499.99", "/api/listings?max_price=99.99", "/api/listings?min_price=50&max_price=150&city=Accra"}
	r.warm(holds...)
	r.warm(others...)
	r.exec(`update listings set price = 500 where id = 1`)
	r.caughtUp()
	r.stillHits(others...)
	r.misses(holds...)
}

func TestInsertEndsACached404(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.warm("/api/listings/77", "/api/listings/78")
	if p := r.get("/api/listings/77"); p.status != 404 {
		t.Fatalf("status %d, want 404", p.status)
	}
	r.insert(77, "new", "Lagos", "house", 1, "5")
	r.caughtUp()
	if p := r.get("/api/listings/77"); p.status != 200 || !strings.Contains(p.body, "new") {
		t.Errorf("status %d, want the new listing: %s", p.status, p.body)
	}
	r.stillHits("/api/listings/78")
	r.exec(`delete from listings where id = 77`)
	r.caughtUp()
	if p := r.get("/api/listings/77"); p.status != 404 {
		t.Errorf("status %d after the delete, want 404", p.status)
	}
}

func TestRollbackPurgesNothing(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.insert(1, "one", "Lagos", "house", 3, "100")
	r.caughtUp()
	r.warm("/api/listings/1", "/api/listings?city=Lagos")
	tx, err := r.db.Begin(t.Context())
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
	r.caughtUp()
	r.stillHits("/api/listings/1", "/api/listings?city=Lagos")
}

func TestBulkAndTruncatePurgeTheTable(t *testing.T) {
	r := newRig(t, rigOptions{extra: "bulk_rows: 10\n"})
	for i := range 30 {
		r.insert(i+1, "bulk", "Lagos", "house", 3, "100")
	}
	r.caughtUp()
	r.warm("/api/listings?city=Accra", "/api/listings/99")
	r.exec(`update listings set price = price + 1`)
	r.caughtUp()
	r.misses("/api/listings?city=Accra", "/api/listings/99")
	r.caughtUp()
	r.warm("/api/listings?city=Accra", "/api/listings/99")
	r.exec(`truncate listings`)
	r.caughtUp()
	r.misses("/api/listings?city=Accra", "/api/listings/99")
}

func TestWithRedisTheSameHolds(t *testing.T) {
	r := newRig(t, rigOptions{redis: testbed.SharedRedis(t)})
	r.insert(1, "one", "Lagos", "house", 3, "100")
	r.caughtUp()
	r.warm("/api/listings/1")
	r.exec(`update listings set title = 'edited' where id = 1`)
	r.caughtUp()
	if p := r.get("/api/listings/1"); p.hit() || !strings.Contains(p.body, "edited") {
		t.Errorf("%q: %s", p.header.Get("Cache-Status"), p.body)
	}
}
