package sidecar

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
)

const (
	reloaded = `msg="took over the routes"`
	refused  = `msg="nothing was changed`
)

// reload writes the configuration with other routes and has it read again. It
// returns what the proxy said of it.
func (r *rig) reload(routes, outcome string) string {
	r.t.Helper()
	text, err := os.ReadFile(r.config)
	if err != nil {
		r.t.Fatal(err)
	}
	head, _, _ := strings.Cut(string(text), "\nroutes:")
	if err := os.WriteFile(r.config, []byte(head+routes), 0o600); err != nil {
		r.t.Fatal(err)
	}
	from := r.logged.count()
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		r.t.Fatal(err)
	}
	other := map[string]string{reloaded: refused, refused: reloaded}[outcome]
	r.eventually("an answer to the signal", func() bool {
		return len(r.logged.after(from, outcome)) > 0 || len(r.logged.after(from, other)) > 0
	})
	if said := r.logged.after(from, outcome); len(said) > 0 {
		return said[0]
	}
	r.t.Fatalf("got %s, want %s", r.logged.after(from, other)[0], outcome)
	return ""
}

// TestReloadKeepsWhatIsDeclaredAsBefore: a route whose declaration has changed
// drops what it has stored, the others keep theirs, and a file with a mistake
// changes nothing.
func TestReloadKeepsWhatIsDeclaredAsBefore(t *testing.T) {
	r := newRig(t, rigOptions{})
	list, one := "/api/listings?city=Lagos", "/api/listings/1"
	r.exec(`insert into agents (id, name, phone, email) values (1, 'A', '1', 'a@example.org') on conflict do nothing`)
	r.caughtUp() // or else its purge may come between the hits and the reload
	r.warm(list, one)

	said := r.reload(strings.Replace(rigRoutes, "  - path: /api/listings\n", "  - path: /api/listings\n    ttl: 5m\n", 1), reloaded)
	for _, want := range []string{"kept=1", "changed=1", "added=0", "removed=0", "dropped=1", "watches_more=false"} {
		if !strings.Contains(said, want) {
			t.Errorf("%s: want %s", said, want)
		}
	}
	r.stillHits(one)
	r.misses(list)
	r.warm(list)

	if said := r.reload(rigRoutes+"  - path: nowhere\n    tll: 1s\n", refused); !strings.Contains(said, "proxy.yaml:") || !strings.Contains(said, "tll") {
		t.Errorf("the log does not say what is wrong and where: %s", said)
	}
	r.stillHits(one, list)

	// A route that goes, and one that comes.
	said = r.reload("\nroutes:\n  - path: /api/listings/{id}\n    depends_on: [listings]\n  - path: /api/agents/{id}\n    ttl: 1h\n", reloaded)
	if !strings.Contains(said, "kept=0") || !strings.Contains(said, "changed=1") || !strings.Contains(said, "added=1") || !strings.Contains(said, "removed=1") {
		t.Error(said)
	}
	r.misses(list, list)
	r.warm(one, "/api/agents/1")
	r.exec(`insert into listings (id, title, description, price, city, property_type, bedrooms, status, agent_id)
		values (1, 't', 'd', 1, 'Lagos', 'House', 2, 'active', 1)`)
	r.caughtUp()
	r.misses(one)
	r.stillHits("/api/agents/1")
}

// TestReloadNamesWhatNeedsARestart in one warning, and takes over the rest.
func TestReloadNamesWhatNeedsARestart(t *testing.T) {
	r := newRig(t, rigOptions{})
	text, err := os.ReadFile(r.config)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.NewReplacer("listen: 127.0.0.1:0", "listen: 127.0.0.1:1", "slot: ", "slot: x").Replace(string(text))
	if err := os.WriteFile(r.config, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	r.reload(rigRoutes, reloaded)
	if said := r.logged.after(0, "restart the proxy"); len(said) != 1 || !strings.Contains(said[0], `keys="listen, postgres.slot"`) {
		t.Errorf("said %q", said)
	}
}

// TestReloadWatchesMore: a column and a table that weren't watched are followed
// from then on; a table that the publication doesn't have is refused with the mend.
func TestReloadWatchesMore(t *testing.T) {
	for _, redis := range []string{"", testbed.SharedRedis(t)} {
		r := newRig(t, rigOptions{redis: redis, routes: "\nroutes:\n  - path: /api/listings/{id}\n    depends_on: [{ table: listings, where: { id: path.id } }]\n"})
		one := "/api/listings/1"
		r.warm(one)
		by := "  - path: /api/listings\n    depends_on: [{ table: listings, where: { bedrooms: query.bedrooms } }]\n"
		same := "\nroutes:\n  - path: /api/listings/{id}\n    depends_on: [{ table: listings, where: { id: path.id } }]\n"

		epochs := r.metric("walpurge_epochs_total")
		if said := r.reload(same+by, reloaded); !strings.Contains(said, "watches_more=true") || !strings.Contains(said, "kept=1") {
			t.Error(said)
		}
		if redis == "" {
			r.eventually("an epoch of the new stream", func() bool { return r.metric("walpurge_epochs_total") > epochs })
			r.ready()
		} else { // the slot outlives the stream
			r.eventually("it is followed again", func() bool { return r.status().Position.Connected })
			r.stillHits(one)
			if now := r.metric("walpurge_epochs_total"); now != epochs {
				t.Errorf("a new column began an epoch: %v, before %v", now, epochs)
			}
		}
		two, three := "/api/listings?bedrooms=2", "/api/listings?bedrooms=3"
		r.warm(one, two, three)
		r.exec(`insert into agents (id, name, phone, email) values (1, 'A', '1', 'a@example.org') on conflict do nothing`)
		r.exec(`insert into listings (id, title, description, price, city, property_type, bedrooms, status, agent_id)
			values (77, 't', 'd', 1, 'Lagos', 'House', 2, 'active', 1)`)
		r.caughtUp()
		r.misses(two)
		r.stillHits(one, three)

		agents := "  - path: /api/agents/{id}\n    depends_on: [{ table: agents, where: { id: path.id } }]\n"
		if said := r.reload(same+by+agents, refused); !strings.Contains(said, "proxy setup") || !strings.Contains(said, "agents") {
			t.Errorf("the mend is missing: %s", said)
		}
		r.stillHits(one, three)
		r.exec(`alter publication walpurge add table agents`)
		epochs = r.metric("walpurge_epochs_total")
		r.reload(same+by+agents, reloaded)
		r.eventually("an epoch for the new table", func() bool { return r.metric("walpurge_epochs_total") > epochs })
		r.ready()
		r.warm("/api/agents/1", one)
		r.exec(`update agents set name = 'B' where id = 1`)
		r.caughtUp()
		r.misses("/api/agents/1")
		r.stillHits(one)
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	}
}

// TestReloadUnderLoad: no request fails while routes change, watch more and
// come back, and nothing stale is served after a change.
func TestReloadUnderLoad(t *testing.T) {
	r := newRig(t, rigOptions{redis: testbed.SharedRedis(t)})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var group sync.WaitGroup
	var served atomic.Int64
	for i := range 4 {
		group.Go(func() {
			for n := i; ctx.Err() == nil; n++ {
				path := []string{"/api/listings/1", "/api/listings?city=Lagos", fmt.Sprintf("/api/listings?bedrooms=%d", n%5), "/api/agents/1", "/healthz"}[n%5]
				p, err := r.try(path)
				switch {
				case err != nil:
					t.Errorf("%s: %v", path, err)
					return
				case p.status >= 500:
					t.Errorf("%s: %d %s", path, p.status, p.body)
					return
				}
				served.Add(1)
			}
		})
	}
	variants := []string{
		rigRoutes,
		strings.Replace(rigRoutes, "      - agents\n", "", 1),
		strings.Replace(rigRoutes, "bedrooms: query.bedrooms", "status: query.status", 1),
		"\nroutes: []\n",
		strings.Replace(rigRoutes, "columns: [title, ", "columns: [description, title, ", 1),
		rigRoutes + "  - path: /api/agents/{id}\n    depends_on: [{ table: agents, where: { id: path.id } }]\n",
	}
	for round := range 12 {
		before := served.Load()
		r.reload(variants[(round+1)%len(variants)], reloaded)
		r.eventually("more is served", func() bool { return served.Load() > before+20 || ctx.Err() != nil || t.Failed() })
	}
	r.reload(rigRoutes, reloaded)
	r.ready()
	r.warm("/api/listings?city=Lagos")
	cancel()
	group.Wait()
	r.exec(`insert into agents (id, name, phone, email) values (1, 'A', '1', 'a@example.org') on conflict do nothing`)
	r.exec(`insert into listings (id, title, description, price, city, property_type, bedrooms, status, agent_id)
		values (78, 't', 'd', 1, 'Lagos', 'House', 2, 'active', 1)`)
	r.caughtUp()
	if p := r.get("/api/listings?city=Lagos"); !strings.Contains(p.body, `"id":78`) {
		t.Errorf("after the change: %s", p.body)
	}
}
