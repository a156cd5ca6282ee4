package sidecar

import (
	"strings"
	"testing"
	"time"

	"walpurge/dev/testbed"
)

// TestLeaderKilled: when the leader is killed, another proxy takes the slot
// within two seconds, in the same epoch: pages stay cached, and changes made
// meanwhile are seen.
func TestLeaderKilled(t *testing.T) {
	r := newRig(t, rigOptions{redis: testbed.SharedRedis(t), proxies: 3})
	r.insert(1, "one", "Lagos", "house", 3, "100")
	r.insert(2, "two", "Kano", "house", 3, "100")
	for _, p := range r.peers {
		p.caughtUp()
		p.warm("/api/listings/1", "/api/listings/2")
	}
	epoch := r.status().Position.Epoch
	// In order first, which makes one of the processes the leader.
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	a, b := r.peers[0], r.peers[1]
	r.eventually("a peer leads", func() bool { return a.leads() || b.leads() })
	if b.leads() {
		a, b = b, a
	}
	b.stillHits("/api/listings/1", "/api/listings/2")
	a.kill()
	at := time.Now()
	r.exec(`update listings set title = 'edited' where id = 1`)
	r.eventually("the other leads", b.leads)
	took := time.Since(at)
	t.Logf("takeover %v after kill -9", took)
	if took > 2*time.Second {
		t.Errorf("takeover took %v", took)
	}
	b.caughtUp()
	if p := b.get("/api/listings/1"); !strings.Contains(p.body, "edited") {
		t.Errorf("%q %s", p.header.Get("Cache-Status"), p.body)
	}
	b.stillHits("/api/listings/2")
	if now := b.status().Position.Epoch; now != epoch {
		t.Errorf("epoch %s after %s", now, epoch)
	}
}

// TestLeaderStoppedAndContinued: a leader that stands still loses the slot; when
// it goes on it serves nothing old, and follows.
func TestLeaderStoppedAndContinued(t *testing.T) {
	pg := testbed.NewPostgres(t, map[string]string{"wal_sender_timeout": "1s"})
	r := newRig(t, rigOptions{dbURL: pg.URL("postgres"), redis: testbed.SharedRedis(t), proxies: 2, extra: "max_lag: 300ms\n"})
	r.insert(1, "one", "Lagos", "house", 3, "100")
	a := r.peers[0]
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	r.eventually("the process leads", a.leads)
	b := r.peer()
	for _, p := range []*rig{a, b} {
		p.caughtUp()
		p.warm("/api/listings/1")
	}
	a.suspend()
	r.exec(`update listings set title = 'edited' where id = 1`)
	r.eventually("the other leads", b.leads)
	b.caughtUp()
	r.exec(`update listings set city = 'Kano' where id = 1`)
	b.caughtUp()
	a.resume()
	for range 50 {
		for _, p := range []*rig{a, b} {
			if got := p.get("/api/listings/1"); !strings.Contains(got.body, "edited") || !strings.Contains(got.body, "Kano") {
				t.Fatalf("%q %s", got.header.Get("Cache-Status"), got.body)
			}
		}
	}
	r.eventually("the first follows", func() bool { return a.status().Position.Role == "follower" })
	a.warm("/api/listings/1")
	if x, y := a.status().Position.Epoch, b.status().Position.Epoch; x != y {
		t.Errorf("epochs %s and %s", x, y)
	}
}

// TestRedisTierStaysWarm: a proxy that is started again serves from Redis what
// was stored before, save for what has changed since.
func TestRedisTierStaysWarm(t *testing.T) {
	r := newRig(t, rigOptions{redis: testbed.SharedRedis(t)})
	r.host = "listings.test"
	r.insert(1, "one", "Lagos", "house", 3, "100")
	r.insert(2, "two", "Kano", "house", 3, "100")
	r.caughtUp()
	paths := []string{"/api/listings/1", "/api/listings/2", "/api/listings?city=Lagos", "/api/listings?city=Kano&max_price=500"}
	r.warm(paths...)
	r.eventually("Redis has them", func() bool {
		return r.metric("walpurge_redis_requests_total", `op="set"`, `result="ok"`) >= float64(len(paths))
	})
	epoch := r.status().Position.Epoch
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	r.exec(`update listings set title = 'edited' where id = 1`)
	r.start(true)
	r.caughtUp()
	if now := r.status().Position.Epoch; now != epoch {
		t.Fatalf("epoch %s after %s", now, epoch)
	}
	before := r.requests.Load()
	for path, unchanged := range map[string]bool{paths[0]: false, paths[1]: true, paths[2]: false, paths[3]: true} {
		p := r.get(path)
		if fromOrigin := r.requests.Load() > before; fromOrigin == unchanged {
			t.Errorf("%s: the origin was asked: %t; Cache-Status %q", path, fromOrigin, p.header.Get("Cache-Status"))
		}
		before = r.requests.Load()
		if !unchanged && !strings.Contains(p.body, "edited") {
			t.Errorf("%s: %s", path, p.body)
		}
	}
}
