package scenario

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"walpurge/dev/testbed"
	"walpurge/test/rig"
)

const (
	reloaded = `msg="took over the routes"`
	refused  = `msg="nothing was changed`
)

// reload writes the configuration with other routes and has it read again. It
// returns what the proxy said of it.
func reload(r *rig.Rig, routes, outcome string) string {
	r.T.Helper()
	text, err := os.ReadFile(r.Config)
	if err != nil {
		r.T.Fatal(err)
	}
	head, _, _ := strings.Cut(string(text), "\nroutes:")
	if err := os.WriteFile(r.Config, []byte(head+routes), 0o600); err != nil {
		r.T.Fatal(err)
	}
	from := r.Logged.Count()
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		r.T.Fatal(err)
	}
	other := map[string]string{reloaded: refused, refused: reloaded}[outcome]
	r.Eventually("an answer to the signal", func() bool {
		return len(r.Logged.After(from, outcome)) > 0 || len(r.Logged.After(from, other)) > 0
	})
	if said := r.Logged.After(from, outcome); len(said) > 0 {
		return said[0]
	}
	r.T.Fatalf("got %s, want %s", r.Logged.After(from, other)[0], outcome)
	return ""
}

// TestReloadKeepsWhatIsDeclaredAsBefore: a route whose declaration has changed
// drops what it has stored, the others keep theirs, and a file with a mistake
// changes nothing.
func TestReloadKeepsWhatIsDeclaredAsBefore(t *testing.T) {
	r := rig.New(t, rig.Options{})
	list, one := "/api/listings?city=Lagos", "/api/listings/1"
	r.Exec(`insert into agents (id, name, phone, email) values (1, 'A', '1', 'a@example.org') on conflict do nothing`)
	r.CaughtUp() // or else its purge may come between the hits and the reload
	r.Warm(list, one)

	said := reload(r, strings.Replace(rig.Routes, "  - path: /api/listings\n", "  - path: /api/listings\n    ttl: 5m\n", 1), reloaded)
	for _, want := range []string{"kept=1", "changed=1", "added=0", "removed=0", "dropped=1", "watches_more=false"} {
		if !strings.Contains(said, want) {
			t.Errorf("%s: want %s", said, want)
		}
	}
	r.StillHits(one)
	r.Misses(list)
	r.Warm(list)

	if said := reload(r, rig.Routes+"  - path: nowhere\n    tll: 1s\n", refused); !strings.Contains(said, "proxy.yaml:") || !strings.Contains(said, "tll") {
		t.Errorf("the log does not say what is wrong and where: %s", said)
	}
	r.StillHits(one, list)

	// A route that goes, and one that comes.
	said = reload(r, "\nroutes:\n  - path: /api/listings/{id}\n    depends_on: [listings]\n  - path: /api/agents/{id}\n    ttl: 1h\n", reloaded)
	if !strings.Contains(said, "kept=0") || !strings.Contains(said, "changed=1") || !strings.Contains(said, "added=1") || !strings.Contains(said, "removed=1") {
		t.Error(said)
	}
	r.Misses(list, list)
	r.Warm(one, "/api/agents/1")
	r.Exec(`insert into listings (id, title, description, price, city, property_type, bedrooms, status, agent_id)
		values (1, 't', 'd', 1, 'Lagos', 'House', 2, 'active', 1)`)
	r.CaughtUp()
	r.Misses(one)
	r.StillHits("/api/agents/1")
}

// TestReloadNamesWhatNeedsARestart in one warning, and takes over the rest.
func TestReloadNamesWhatNeedsARestart(t *testing.T) {
	r := rig.New(t, rig.Options{})
	text, err := os.ReadFile(r.Config)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.NewReplacer("listen: 127.0.0.1:0", "listen: 127.0.0.1:1", "slot: ", "slot: x").Replace(string(text))
	if err := os.WriteFile(r.Config, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	reload(r, rig.Routes, reloaded)
	if said := r.Logged.After(0, "restart the proxy"); len(said) != 1 || !strings.Contains(said[0], `keys="listen, postgres.slot"`) {
		t.Errorf("said %q", said)
	}
}

// TestReloadWatchesMore: a column and a table that weren't watched are followed
// from then on; a table that the publication doesn't have is refused with the mend.
func TestReloadWatchesMore(t *testing.T) {
	for _, redis := range []string{"", testbed.SharedRedis(t)} {
		r := rig.New(t, rig.Options{Redis: redis, Routes: "\nroutes:\n  - path: /api/listings/{id}\n    depends_on: [{ table: listings, where: { id: path.id } }]\n"})
		one := "/api/listings/1"
		r.Warm(one)
		by := "  - path: /api/listings\n    depends_on: [{ table: listings, where: { bedrooms: query.bedrooms } }]\n"
		same := "\nroutes:\n  - path: /api/listings/{id}\n    depends_on: [{ table: listings, where: { id: path.id } }]\n"

		epochs := r.Metric("walpurge_epochs_total")
		if said := reload(r, same+by, reloaded); !strings.Contains(said, "watches_more=true") || !strings.Contains(said, "kept=1") {
			t.Error(said)
		}
		if redis == "" {
			r.Eventually("an epoch of the new stream", func() bool { return r.Metric("walpurge_epochs_total") > epochs })
			r.Ready()
		} else { // the slot outlives the stream
			r.Eventually("it is followed again", func() bool { return r.Status().Position.Connected })
			r.StillHits(one)
			if now := r.Metric("walpurge_epochs_total"); now != epochs {
				t.Errorf("a new column began an epoch: %v, before %v", now, epochs)
			}
		}
		two, three := "/api/listings?bedrooms=2", "/api/listings?bedrooms=3"
		r.Warm(one, two, three)
		r.Exec(`insert into agents (id, name, phone, email) values (1, 'A', '1', 'a@example.org') on conflict do nothing`)
		r.Exec(`insert into listings (id, title, description, price, city, property_type, bedrooms, status, agent_id)
			values (77, 't', 'd', 1, 'Lagos', 'House', 2, 'active', 1)`)
		r.CaughtUp()
		r.Misses(two)
		r.StillHits(one, three)

		agents := "  - path: /api/agents/{id}\n    depends_on: [{ table: agents, where: { id: path.id } }]\n"
		if said := reload(r, same+by+agents, refused); !strings.Contains(said, "proxy setup") || !strings.Contains(said, "agents") {
			t.Errorf("the mend is missing: %s", said)
		}
		r.StillHits(one, three)
		r.Exec(`alter publication walpurge add table agents`)
		epochs = r.Metric("walpurge_epochs_total")
		reload(r, same+by+agents, reloaded)
		r.Eventually("an epoch for the new table", func() bool { return r.Metric("walpurge_epochs_total") > epochs })
		r.Ready()
		r.Warm("/api/agents/1", one)
		r.Exec(`update agents set name = 'B' where id = 1`)
		r.CaughtUp()
		r.Misses("/api/agents/1")
		r.StillHits(one)
		if err := r.Stop(); err != nil {
			t.Error(err)
		}
	}
}

// TestReloadUnderLoad: no request fails while routes change, watch more and
// come back, and nothing stale is served after a change.
func TestReloadUnderLoad(t *testing.T) {
	r := rig.New(t, rig.Options{Redis: testbed.SharedRedis(t)})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var group sync.WaitGroup
	var served atomic.Int64
	for i := range 4 {
		group.Go(func() {
			for n := i; ctx.Err() == nil; n++ {
				path := []string{"/api/listings/1", "/api/listings?city=Lagos", fmt.Sprintf("/api/listings?bedrooms=%d", n%5), "/api/agents/1", "/healthz"}[n%5]
				p, err := r.Try(path)
				switch {
				case err != nil:
					t.Errorf("%s: %v", path, err)
					return
				case p.Status >= 500:
					t.Errorf("%s: %d %s", path, p.Status, p.Body)
					return
				}
				served.Add(1)
			}
		})
	}
	variants := []string{
		rig.Routes,
		strings.Replace(rig.Routes, "      - agents\n", "", 1),
		strings.Replace(rig.Routes, "bedrooms: query.bedrooms", "status: query.status", 1),
		"\nroutes: []\n",
		strings.Replace(rig.Routes, "columns: [title, ", "columns: [description, title, ", 1),
		rig.Routes + "  - path: /api/agents/{id}\n    depends_on: [{ table: agents, where: { id: path.id } }]\n",
	}
	for round := range 12 {
		before := served.Load()
		reload(r, variants[(round+1)%len(variants)], reloaded)
		r.Eventually("more is served", func() bool { return served.Load() > before+20 || ctx.Err() != nil || t.Failed() })
	}
	reload(r, rig.Routes, reloaded)
	r.Ready()
	r.Warm("/api/listings?city=Lagos")
	cancel()
	group.Wait()
	r.Exec(`insert into agents (id, name, phone, email) values (1, 'A', '1', 'a@example.org') on conflict do nothing`)
	r.Exec(`insert into listings (id, title, description, price, city, property_type, bedrooms, status, agent_id)
		values (78, 't', 'd', 1, 'Lagos', 'House', 2, 'active', 1)`)
	r.CaughtUp()
	if p := r.Get("/api/listings?city=Lagos"); !strings.Contains(p.Body, `"id":78`) {
		t.Errorf("after the change: %s", p.Body)
	}
}
