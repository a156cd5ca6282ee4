package scenario

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"walpurge/dev/testbed"
	"walpurge/test/rig"
)

// TestHeldCommitIsNotCached holds a commit in the state that every commit
// passes through: written and decoded, and not yet visible. The primary waits
// for a synchronous standby that does not exist.
func TestHeldCommitIsNotCached(t *testing.T) {
	pg := testbed.NewPostgres(t, nil)
	r := rig.New(t, rig.Options{DBURL: pg.URL("postgres")})
	r.Insert(1, "old", "Lagos", "house", 3, "100")
	r.Insert(2, "other", "Accra", "house", 3, "100")
	r.CaughtUp()
	r.Warm("/api/listings/1", "/api/listings/2", "/api/listings?city=Lagos")

	if err := pg.Set(t.Context(), "synchronous_standby_names", "nobody"); err != nil {
		t.Fatal(err)
	}
	writer, err := pgx.Connect(t.Context(), r.DBURL)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close(t.Context())
	released := make(chan error, 1)
	go func() {
		_, err := writer.Exec(t.Context(), `update listings set title = 'new' where id = 1`)
		released <- err
	}()
	r.Eventually("the commit is decoded and pending", func() bool { return r.Status().Position.Pending == 1 })
	r.Misses("/api/listings/1", "/api/listings?city=Lagos")

	// Whoever reads now gets the old row, from the origin, every time.
	for range 20 {
		if p := r.Get("/api/listings/1"); p.Hit() || !strings.Contains(p.Body, `"old"`) {
			t.Fatalf("while the commit is held: %q %s", p.Header.Get("Cache-Status"), p.Body)
		}
	}
	// Longer than max_lag: what the commit doesn't touch is still proven fresh.
	held := time.Now()
	r.Eventually("max_lag passes", func() bool { return time.Since(held) > 1500*time.Millisecond })
	r.StillHits("/api/listings/2")
	if p := r.Get("/api/listings/1"); p.Hit() {
		t.Error("the touched page is a hit while its commit is held")
	}

	if err := pg.Set(t.Context(), "synchronous_standby_names", ""); err != nil {
		t.Fatal(err)
	}
	if err := <-released; err != nil {
		t.Fatal(err)
	}
	r.CaughtUp()
	for range 20 {
		if p := r.Get("/api/listings/1"); !strings.Contains(p.Body, `"new"`) {
			t.Fatalf("after the release: %q %s", p.Header.Get("Cache-Status"), p.Body)
		}
		if p := r.Get("/api/listings?city=Lagos"); !strings.Contains(p.Body, `"new"`) {
			t.Fatalf("after the release: %q %s", p.Header.Get("Cache-Status"), p.Body)
		}
	}
	r.Warm("/api/listings/1")
}

// TestSlowFillIsServedAndNotKept lets an origin read the old row, waits for
// the change to settle, and only then lets it answer.
func TestSlowFillIsServedAndNotKept(t *testing.T) {
	r := rig.New(t, rig.Options{})
	r.Insert(1, "old", "Lagos", "house", 3, "100")
	r.CaughtUp()

	arrived, answer := make(chan bool, 1), make(chan bool)
	hook := func(w http.ResponseWriter, req *http.Request) bool {
		r.Hook.Store(nil)
		arrived <- true
		<-answer
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"title":"old"}`))
		return true
	}
	r.Hook.Store(&hook)
	slow := make(chan rig.Reply, 1)
	go func() {
		p, _ := r.Try("/api/listings/1")
		slow <- p
	}()
	<-arrived
	r.Exec(`update listings set title = 'new' where id = 1`)
	r.CaughtUp()
	// A reader who comes now must not join the fill that is older than the change.
	if p := r.Get("/api/listings/1"); !strings.Contains(p.Body, `"new"`) {
		t.Errorf("a reader after the change: %q %s", p.Header.Get("Cache-Status"), p.Body)
	}
	answer <- true
	if p := <-slow; p.Status != 200 || !strings.Contains(p.Body, `"old"`) {
		t.Errorf("the slow reader: %d %s", p.Status, p.Body)
	}
	for range 5 {
		if p := r.Get("/api/listings/1"); !strings.Contains(p.Body, `"new"`) {
			t.Errorf("later: %q %s", p.Header.Get("Cache-Status"), p.Body)
		}
	}
}
