package cdc

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"walpurge/dev/testbed"
	"walpurge/internal/coherence"
)

// copied is a fleet on a server beside which an older copy of it runs.
type copied struct {
	*fleet
	server, older    *testbed.Postgres
	leader, follower *rig
	boards           [2]*switchboard // of the leader, and of the follower
}

// newCopied starts both servers, and a leader and a follower on the newer one.
func newCopied(t *testing.T) *copied {
	c := &copied{server: testbed.NewPostgres(t, nil), older: testbed.NewPostgres(t, nil)}
	c.fleet = newFleet(t, c.server.URL("postgres"), testbed.SharedRedis(t))
	if _, err := Setup(t.Context(), c.cfg, false); err != nil {
		t.Fatal(err)
	}
	both := []*testbed.Postgres{c.server, c.older}
	for _, server := range both {
		if err := server.Stop("fast"); err != nil {
			t.Fatal(err)
		}
	}
	conf := filepath.Join(c.older.Dir(), "postgresql.conf") // with its own port
	settings, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	copyFiles(t, c.server.Dir(), c.older.Dir())
	if err := os.WriteFile(conf, settings, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, server := range both {
		if err := server.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	c.client = newClient(t, c.server.URL("postgres"))
	join := func(i int) *rig {
		c.boards[i] = &switchboard{t: t, target: c.server.URL("postgres")}
		url := c.boards[i].url()
		return c.join(func(cfg *Config) { cfg.URL, cfg.Relay.Client = url, relayClient(t, testbed.SharedRedis(t)) })
	}
	c.leader = join(0)
	c.ready(c.leader)
	c.role(c.leader, roleLeader)
	c.follower = join(1)
	c.ready(c.follower)
	for range 20 { // more than a server writes by itself at its start
		c.exec("INSERT INTO listings SELECT g, repeat('x', 200), 1 FROM generate_series(1, 1000) g", "DELETE FROM listings")
	}
	c.agree(c.leader, c.follower)
	return c
}

// TestServerSetBackUnderAFollower: the name of the server leads a follower to
// an older copy of it for a while. The follower proves nothing there, asks who
// leads, and leaves the copy's slot alone. Led back it serves what it had
// cached, save what has changed meanwhile: nobody has taken over, and no epoch has
// begun.
func TestServerSetBackUnderAFollower(t *testing.T) {
	c := newCopied(t)
	page, changed := c.follower.cache("Abuja"), c.follower.cache("Lagos")
	epochs := len(c.follower.epochs())

	c.boards[1].lead(c.older.URL("postgres"))
	turnedAway := 0
	eventually(t, "the follower is told, twice, that somebody leads on the newer server", func() bool {
		s := c.follower.listener.Status()
		if strings.Contains(s.Relay.Elsewhere, errOlderCopy.Error()) {
			turnedAway = max(turnedAway, s.Failures)
			if c.follower.guard.Proven() != 0 {
				t.Error("proven fresh while an older copy answers")
			}
		}
		return turnedAway >= 2
	})
	c.exec("INSERT INTO listings VALUES (1, 'Lagos', 1, NULL)")
	eventually(t, "the follower goes on reading the relay", func() bool { return !changed.handle.Live() })

	c.boards[1].lead(c.server.URL("postgres"))
	c.ready(c.follower)
	if !page.handle.Live() {
		t.Error("a page that nothing has changed was dropped")
	}
	if s := c.leader.listener.Status(); s.Role != roleLeader || s.Sessions != 1 {
		t.Errorf("the leader is %s, with session %d: it was not left alone", s.Role, s.Sessions)
	}
	if s := c.follower.listener.Status(); s.Relay.Elsewhere != "" || s.Relay.Doubt != "" || s.Sessions != 0 {
		t.Errorf("led back: %d sessions, %+v", s.Sessions, s.Relay)
	}
	if n := len(c.follower.epochs()); n != epochs || len(c.leader.epochs()) != 1 {
		t.Errorf("epochs %v on the follower, %v on the leader", c.follower.epochs(), c.leader.epochs())
	}
	c.exec("INSERT INTO listings VALUES (2, 'Abuja', 1, NULL)")
	c.agree(c.follower)
	if page.handle.Live() {
		t.Error("the page outlived a change")
	}
}

// TestServerSetBackUnderAll is the same for the leader as well: then the
// server was set back, as far as anybody can know. Nothing that was cached
// before is served again, though everything that the copy has flushed is long
// applied.
func TestServerSetBackUnderAll(t *testing.T) {
	c := newCopied(t)
	rigs := []*rig{c.leader, c.follower}
	var pages []*cachedPage
	for _, r := range rigs {
		pages = append(pages, r.cache("Abuja"))
	}
	epoch := c.leader.guard.Epoch()
	for _, b := range c.boards {
		b.lead(c.older.URL("postgres"))
	}
	var since [2]coherence.Nanos
	for i, r := range rigs {
		since[i] = r.listener.cfg.Now()
	}
	eventually(t, "a new epoch on both", func() bool {
		done := true
		for i, r := range rigs {
			proven := r.guard.Proven()
			if proven > since[i] && r.guard.Epoch() == epoch {
				t.Errorf("process %d is proven fresh in the epoch of the server that is no more", i)
			}
			done = done && slices.Contains(r.epochs(), "behind")
		}
		return done
	})
	for i, page := range pages {
		if page.handle.Live() {
			t.Errorf("the page of process %d outlived the state that it was made from", i)
		}
	}
	c.client = newClient(t, c.older.URL("postgres"))
	c.exec("INSERT INTO listings VALUES (1, 'Lagos', 1, NULL)")
	c.agree(rigs...)
	c.ready(rigs...)
	if a, b := c.leader.guard.Epoch(), c.follower.guard.Epoch(); a != b || a == epoch {
		t.Errorf("epochs %s and %s after %s", a, b, epoch)
	}
}
