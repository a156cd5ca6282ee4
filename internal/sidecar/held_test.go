package sidecar

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"walpurge/dev/testbed"
)

// TestHeldCommitIsNotCached holds a commit in the state that every commit
// passes through: written and decoded, and not yet visible. The primary waits
// for a synchronous standby that does not exist.
func TestHeldCommitIsNotCached(t *testing.T) {
	pg := testbed.NewPostgres(t, nil)
	r := newRig(t, rigOptions{dbURL: pg.URL("postgres")})
	r.insert(1, "old", "Lagos", "house", 3, "100")
	r.insert(2, "other", "Accra", "house", 3, "100")
	r.caughtUp()
	r.warm("/api/listings/1", "/api/listings/2", "/api/listings?city=Lagos")

	if err := pg.Set(t.Context(), "synchronous_standby_names", "nobody"); err != nil {
		t.Fatal(err)
	}
	writer, err := pgx.Connect(t.Context(), r.dbURL)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close(t.Context())
	released := make(chan error, 1)
	go func() {
		_, err := writer.Exec(t.Context(), `update listings set title = 'new' where id = 1`)
		released <- err
	}()
	r.eventually("the commit is decoded and pending", func() bool { return r.status().Position.Pending == 1 })
	r.misses("/api/listings/1", "/api/listings?city=Lagos")

	// Whoever reads now gets the old row, from the origin, every time.
	for range 20 {
		if p := r.get("/api/listings/1"); p.hit() || !strings.Contains(p.body, `"old"`) {
			t.Fatalf("while the commit is held: %q %s", p.header.Get("Cache-Status"), p.body)
		}
	}
	// Longer than max_lag: what the commit doesn't touch is still proven fresh.
	held := time.Now()
	r.eventually("max_lag passes", func() bool { return time.Since(held) > 1500*time.Millisecond })
	r.stillHits("/api/listings/2")
	if p := r.get("/api/listings/1"); p.hit() {
		t.Error("the touched page is a hit while its commit is held")
	}

	if err := pg.Set(t.Context(), "synchronous_standby_names", ""); err != nil {
		t.Fatal(err)
	}
	if err := <-released; err != nil {
		t.Fatal(err)
	}
	r.caughtUp()
	for range 20 {
		if p := r.get("/api/listings/1"); !strings.Contains(p.body, `"new"`) {
			t.Fatalf("after the release: %q %s", p.header.Get("Cache-Status"), p.body)
		}
		if p := r.get("/api/listings?city=Lagos"); !strings.Contains(p.body, `"new"`) {
			t.Fatalf("after the release: %q %s", p.header.Get("Cache-Status"), p.body)
		}
	}
	r.warm("/api/listings/1")
}

// TestSlowFillIsServedAndNotKept lets an origin read the old row, waits for
// the change to settle, and only then lets it answer.
func TestSlowFillIsServedAndNotKept(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.insert(1, "old", "Lagos", "house", 3, "100")
	r.caughtUp()

	arrived, answer := make(chan bool, 1), make(chan bool)
	hook := func(w http.ResponseWriter, req *http.Request) bool {
		r.hook.Store(nil)
		arrived <- true
		<-answer
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"title":"old"}`))
		return true
	}
	r.hook.Store(&hook)
	slow := make(chan reply, 1)
	go func() {
		p, _ := r.try("/api/listings/1")
		slow <- p
	}()
	<-arrived
	r.exec(`update listings set title = 'new' where id = 1`)
	r.caughtUp()
	// A reader who comes now must not join the fill that is older than the change.
	if p := r.get("/api/listings/1"); !strings.Contains(p.body, `"new"`) {
		t.Errorf("a reader after the change: %q %s", p.header.Get("Cache-Status"), p.body)
	}
	answer <- true
	if p := <-slow; p.status != 200 || !strings.Contains(p.body, `"old"`) {
		t.Errorf("the slow reader: %d %s", p.status, p.body)
	}
	for range 5 {
		if p := r.get("/api/listings/1"); !strings.Contains(p.body, `"new"`) {
			t.Errorf("later: %q %s", p.header.Get("Cache-Status"), p.body)
		}
	}
}
