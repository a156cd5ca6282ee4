package main

import (
	"net/http"
	"strings"
	"testing"

	"walpurge/internal/testbed"
)

// TestReadYourWrites: a client that carries the position of its own write
// never gets an older response, though the listener lags behind.
func TestReadYourWrites(t *testing.T) {
	db := testbed.Database(t)
	cable, throughCable := newCable(t, db)
	r := newRig(t, rigOptions{dbURL: db, pgURL: throughCable, extra: "max_lag: 1h\nstrict_wait: 50ms\n"})
	r.insert(1, "old", "Lagos", "house", 3, "100")
	r.caughtUp()
	r.warm("/api/listings/1")

	patch := func(title string) string {
		t.Helper()
		req, err := http.NewRequest("PATCH", r.url+"/api/listings/1", strings.NewReader(`{"title":"`+title+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := r.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Fatalf("status %d", resp.StatusCode)
		}
		return resp.Header.Get("Walpurge-Position")
	}
	token := patch("first")
	if !strings.HasPrefix(token, r.status().Position.Epoch+".") {
		t.Fatalf("position %q in epoch %s", token, r.status().Position.Epoch)
	}
	if p := r.get("/api/listings/1", "Walpurge-Position", token); !strings.Contains(p.body, `"first"`) {
		t.Errorf("%q %s", p.header.Get("Cache-Status"), p.body)
	}
	r.caughtUp()
	const list = "/api/listings?city=Lagos"
	r.warm("/api/listings/1", list)
	if p := r.get("/api/listings/1", "Walpurge-Position", token); !p.hit() {
		t.Errorf("a position that is covered is no reason to miss: %q", p.header.Get("Cache-Status"))
	}

	// A write that the proxy can't know of yet: with max_lag of an hour the old
	// page is a legal hit, but not for who carries a position.
	cable.stall()
	r.exec(`update listings set title = 'second' where id = 1`)
	if p := r.get("/api/listings/1"); !p.hit() || !strings.Contains(p.body, `"first"`) {
		t.Fatalf("without a position: %q %s", p.header.Get("Cache-Status"), p.body)
	}
	var ahead string
	if err := r.db.QueryRow(t.Context(), `select pg_current_wal_flush_lsn()::text`).Scan(&ahead); err != nil {
		t.Fatal(err)
	}
	epoch := r.status().Position.Epoch
	for _, token := range []string{epoch + "." + ahead, "00000000000000ff.0/1", epoch + ".FFFFFFFF/FFFFFFFF", "nonsense", token + ", " + epoch + "." + ahead} {
		if p := r.get("/api/listings/1", "Walpurge-Position", token); p.hit() || !strings.Contains(p.body, `"second"`) {
			t.Errorf("with %q: %q %s", token, p.header.Get("Cache-Status"), p.body)
		}
	}

	// A write whose position can't be told covers itself all the same.
	if token = patch("third"); token != "0000000000000000.0/0" {
		t.Errorf("position %q", token)
	}
	if p := r.get(list); !p.hit() || !strings.Contains(p.body, `"first"`) {
		t.Fatalf("without a position: %q %s", p.header.Get("Cache-Status"), p.body)
	}
	if p := r.get(list, "Walpurge-Position", token); p.hit() || !strings.Contains(p.body, `"third"`) {
		t.Errorf("with %q: %q %s", token, p.header.Get("Cache-Status"), p.body)
	}
	cable.flow()
	r.caughtUp()
	r.warm(list)
	r.eventually("a hit again", func() bool {
		p := r.get(list, "Walpurge-Position", token)
		if !strings.Contains(p.body, `"third"`) {
			t.Fatalf("with %q: %q %s", token, p.header.Get("Cache-Status"), p.body)
		}
		return p.hit()
	})
}
