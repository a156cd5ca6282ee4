package scenario

import (
	"strings"
	"testing"
	"time"

	"walpurge/dev/testbed"
	"walpurge/test/rig"
)

// TestLeaderKilled: when the leader is killed, another proxy takes the slot
// within two seconds, in the same epoch: pages stay cached, and changes made
// meanwhile are seen.
func TestLeaderKilled(t *testing.T) {
	r := rig.New(t, rig.Options{Redis: testbed.SharedRedis(t), Proxies: 3})
	r.Insert(1, "one", "Lagos", "house", 3, "100")
	r.Insert(2, "two", "Kano", "house", 3, "100")
	for _, p := range r.Peers {
		p.CaughtUp()
		p.Warm("/api/listings/1", "/api/listings/2")
	}
	epoch := r.Status().Position.Epoch
	// In order first, which makes one of the processes the leader.
	if err := r.Stop(); err != nil {
		t.Fatal(err)
	}
	a, b := r.Peers[0], r.Peers[1]
	r.Eventually("a peer leads", func() bool { return a.Leads() || b.Leads() })
	if b.Leads() {
		a, b = b, a
	}
	b.StillHits("/api/listings/1", "/api/listings/2")
	a.Kill()
	at := time.Now()
	r.Exec(`update listings set title = 'edited' where id = 1`)
	r.Eventually("the other leads", b.Leads)
	took := time.Since(at)
	t.Logf("takeover %v after kill -9", took)
	if took > 2*time.Second {
		t.Errorf("takeover took %v", took)
	}
	b.CaughtUp()
	if p := b.Get("/api/listings/1"); !strings.Contains(p.Body, "edited") {
		t.Errorf("%q %s", p.Header.Get("Cache-Status"), p.Body)
	}
	b.StillHits("/api/listings/2")
	if now := b.Status().Position.Epoch; now != epoch {
		t.Errorf("epoch %s after %s", now, epoch)
	}
}

// TestLeaderStoppedAndContinued: a leader that stands still loses the slot; when
// it goes on it serves nothing old, and follows.
func TestLeaderStoppedAndContinued(t *testing.T) {
	pg := testbed.NewPostgres(t, map[string]string{"wal_sender_timeout": "1s"})
	r := rig.New(t, rig.Options{DBURL: pg.URL("postgres"), Redis: testbed.SharedRedis(t), Proxies: 2, Extra: "max_lag: 300ms\n"})
	r.Insert(1, "one", "Lagos", "house", 3, "100")
	a := r.Peers[0]
	if err := r.Stop(); err != nil {
		t.Fatal(err)
	}
	r.Eventually("the process leads", a.Leads)
	b := r.Peer()
	for _, p := range []*rig.Rig{a, b} {
		p.CaughtUp()
		p.Warm("/api/listings/1")
	}
	a.Suspend()
	r.Exec(`update listings set title = 'edited' where id = 1`)
	r.Eventually("the other leads", b.Leads)
	b.CaughtUp()
	r.Exec(`update listings set city = 'Kano' where id = 1`)
	b.CaughtUp()
	a.Resume()
	for range 50 {
		for _, p := range []*rig.Rig{a, b} {
			if got := p.Get("/api/listings/1"); !strings.Contains(got.Body, "edited") || !strings.Contains(got.Body, "Kano") {
				t.Fatalf("%q %s", got.Header.Get("Cache-Status"), got.Body)
			}
		}
	}
	r.Eventually("the first follows", func() bool { return a.Status().Position.Role == "follower" })
	a.Warm("/api/listings/1")
	if x, y := a.Status().Position.Epoch, b.Status().Position.Epoch; x != y {
		t.Errorf("epochs %s and %s", x, y)
	}
}

// TestRedisTierStaysWarm: a proxy that is started again serves from Redis what
// was stored before, save for what has changed since.
func TestRedisTierStaysWarm(t *testing.T) {
	r := rig.New(t, rig.Options{Redis: testbed.SharedRedis(t)})
	r.Host = "listings.test"
	r.Insert(1, "one", "Lagos", "house", 3, "100")
	r.Insert(2, "two", "Kano", "house", 3, "100")
	r.CaughtUp()
	paths := []string{"/api/listings/1", "/api/listings/2", "/api/listings?city=Lagos", "/api/listings?city=Kano&max_price=500"}
	r.Warm(paths...)
	r.Eventually("Redis has them", func() bool {
		return r.Metric("walpurge_redis_requests_total", `op="set"`, `result="ok"`) >= float64(len(paths))
	})
	epoch := r.Status().Position.Epoch
	if err := r.Stop(); err != nil {
		t.Fatal(err)
	}
	r.Exec(`update listings set title = 'edited' where id = 1`)
	r.Start(true)
	r.CaughtUp()
	if now := r.Status().Position.Epoch; now != epoch {
		t.Fatalf("epoch %s after %s", now, epoch)
	}
	before := r.Requests.Load()
	for path, unchanged := range map[string]bool{paths[0]: false, paths[1]: true, paths[2]: false, paths[3]: true} {
		p := r.Get(path)
		if fromOrigin := r.Requests.Load() > before; fromOrigin == unchanged {
			t.Errorf("%s: the origin was asked: %t; Cache-Status %q", path, fromOrigin, p.Header.Get("Cache-Status"))
		}
		before = r.Requests.Load()
		if !unchanged && !strings.Contains(p.Body, "edited") {
			t.Errorf("%s: %s", path, p.Body)
		}
	}
}
