package main

import (
	"context"
	"slices"
	"testing"
	"time"
)

func newTestWriter(t *testing.T) *writer {
	t.Helper()
	database, service := listings(t)
	conn := connect(t, database)
	c, err := readCatalogue(t.Context(), conn)
	must(t, err)
	return &writer{
		audience: newAudience(c, 1), conn: conn, client: newClient(1), origin: service,
		ledger: newLedger(), committed: make(chan page, 1),
	}
}

// TestMovingAListingConcernsBothCities: the ledger has to know the city that the listing was in.
func TestMovingAListingConcernsBothCities(t *testing.T) {
	w := newTestWriter(t)
	for len(w.ledger.closed) == 0 || len(w.ledger.closed[len(w.ledger.closed)-1].ids) == 0 {
		_, err := w.move(t.Context())
		must(t, err)
	}
	done := w.ledger.closed[len(w.ledger.closed)-1]
	var now string
	must(t, w.conn.QueryRow(t.Context(), "SELECT city FROM listings WHERE id = $1", done.ids[0]).Scan(&now))
	if !done.known || len(done.ids) != 1 || len(done.cities) != 2 || done.cities[1] != now {
		t.Errorf("ledger entry %+v, and the listing is in %s", done, now)
	}
}

// TestEveryKindOfChange does each of them and compares the rows it claims to have changed with the database.
func TestEveryKindOfChange(t *testing.T) {
	w := newTestWriter(t)
	type row struct {
		id      int64
		version string
	}
	rows := func() map[row]bool {
		found := map[row]bool{}
		result, err := w.conn.Query(t.Context(), "SELECT id, xmin::text FROM listings")
		must(t, err)
		for result.Next() {
			var r row
			must(t, result.Scan(&r.id, &r.version))
			found[r] = true
		}
		must(t, result.Err())
		return found
	}
	for _, kind := range []struct {
		name   string
		change func(context.Context) (int, error)
	}{
		{"price", w.editPrice},
		{"move", w.move},
		{"text", w.editText},
		{"insert", w.insert},
		{"patch", w.patch},
		{"post", w.post},
		{"bulk", w.bulk},
		{"remove", w.remove}, // last: the others find every listing there
	} {
		name := kind.name
		before := rows()
		changed, err := kind.change(t.Context())
		must(t, err)
		after := rows()
		differ := map[int64]bool{}
		for r := range before {
			if !after[r] {
				differ[r.id] = true
			}
		}
		for r := range after {
			if !before[r] {
				differ[r.id] = true
			}
		}
		entry := w.ledger.closed[len(w.ledger.closed)-1]
		if len(differ) == 0 || len(differ) != changed || len(entry.ids) != changed || !entry.known {
			t.Errorf("%s: %d rows differ, %d counted, %d in the ledger", name, len(differ), changed, len(entry.ids))
		}
		for id := range differ {
			if !slices.Contains(entry.ids, id) {
				t.Errorf("%s: listing %d is not in the ledger", name, id)
			}
		}
	}
	if len(w.ledger.open) != 0 {
		t.Errorf("%d writes are open", len(w.ledger.open))
	}
}

// TestAFailedWriteIsUnknown: nobody can say whether it took place.
func TestAFailedWriteIsUnknown(t *testing.T) {
	w := newTestWriter(t)
	start := time.Now()
	if _, err := w.execute(t.Context(), "UPDATE no_such_table SET x = 1 WHERE id = $1", 1); err == nil {
		t.Fatal("no error")
	}
	if !w.ledger.touched(page{id: 12345}, start, time.Now()) {
		t.Error("the ledger says that nothing happened")
	}
}
