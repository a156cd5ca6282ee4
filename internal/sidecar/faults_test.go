package sidecar

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"walpurge/dev/testbed"
)

// TestListenerCutOff: cut off from PostgreSQL, the proxy stops serving hits
// within max_lag, requests reach the origin, and once the connection is back
// hits return with nothing stale.
func TestListenerCutOff(t *testing.T) {
	for _, how := range []string{"closed", "silent"} {
		t.Run(how, func(t *testing.T) {
			db := testbed.Database(t)
			cable, throughCable := newCable(t, db)
			r := newRig(t, rigOptions{dbURL: db, pgURL: throughCable, redis: testbed.SharedRedis(t), extra: "max_lag: 300ms\n"})
			r.insert(1, "old", "Lagos", "house", 3, "100")
			r.caughtUp()
			r.warm("/api/listings/1", "/api/listings/2")
			epoch := r.status().Position.Epoch

			cut, mend := cable.cut, cable.mend
			if how == "silent" {
				cut, mend = cable.stall, cable.flow
			}
			cut()
			at := time.Now()
			r.exec(`update listings set title = 'new' where id = 1`)
			r.eventually("no hits any more", func() bool { return !r.get("/api/listings/2").hit() })
			without := time.Since(at)
			testbed.Measured(t, "the last hit came at most %v after the cut (max_lag 300 ms)", without)
			if without > 600*time.Millisecond {
				t.Errorf("hits went on for %v after the cut", without)
			}
			if p := r.get("/api/listings/1"); p.hit() || !strings.Contains(p.body, `"new"`) || !strings.Contains(p.header.Get("Cache-Status"), "fwd=bypass") {
				t.Errorf("%q %s", p.header.Get("Cache-Status"), p.body)
			}
			if resp, err := r.client.Get(r.admin + "/healthz"); err != nil || resp.StatusCode != 200 {
				t.Errorf("healthz: %v, %v", resp, err)
			}

			mend()
			r.eventually("hits return", func() bool { return r.get("/api/listings/2").hit() })
			for range 10 {
				if p := r.get("/api/listings/1"); !strings.Contains(p.body, `"new"`) {
					t.Errorf("after reconnection: %q %s", p.header.Get("Cache-Status"), p.body)
				}
			}
			if now := r.status().Position.Epoch; now != epoch {
				t.Errorf("a new epoch, %s after %s, though nothing was missed", now, epoch)
			}
		})
	}
}

// TestRedisStopped: without Redis the memory tier and the origin carry on.
func TestRedisStopped(t *testing.T) {
	redis := testbed.NewRedis(t)
	r := newRig(t, rigOptions{redis: redis.URL()})
	r.insert(1, "one", "Lagos", "house", 3, "100")
	r.caughtUp()
	r.warm("/api/listings/1")
	if err := redis.Stop(); err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		if p := r.get(fmt.Sprintf("/api/listings/%d", i)); p.status != 200 && p.status != 404 {
			t.Errorf("status %d", p.status)
		}
	}
	r.stillHits("/api/listings/1")
	if n := r.metric("walpurge_redis_requests_total", `result="error"`); n == 0 {
		t.Error("no error was counted")
	}
	r.exec(`update listings set title = 'edited' where id = 1`)
	r.caughtUp()
	if p := r.get("/api/listings/1"); !strings.Contains(p.body, "edited") {
		t.Errorf("%q %s", p.header.Get("Cache-Status"), p.body)
	}
	if err := redis.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.eventually("Redis is used again", func() bool {
		r.get(fmt.Sprintf("/api/listings/%d", time.Now().UnixNano()))
		return r.metric("walpurge_redis_requests_total", `op="set"`, `result="ok"`) > 0
	})
}

// TestOriginDown: what is proven fresh is served, the rest is a problem
// document.
func TestOriginDown(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.insert(1, "one", "Lagos", "house", 3, "100")
	r.caughtUp()
	r.warm("/api/listings/1")
	r.origin.Listener.Close()
	r.origin.CloseClientConnections()
	r.stillHits("/api/listings/1")
	p := r.get("/api/listings/2")
	var problem struct {
		Title  string `json:"title"`
		Status int    `json:"status"`
	}
	if p.status != http.StatusBadGateway || p.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("status %d, %s", p.status, p.header.Get("Content-Type"))
	}
	if err := json.Unmarshal([]byte(p.body), &problem); err != nil || problem.Status != 502 || problem.Title == "" {
		t.Errorf("problem document %q: %v", p.body, err)
	}
}

// TestOriginTimesOut: an origin that doesn't answer in time is a 504.
func TestOriginTimesOut(t *testing.T) {
	r := newRig(t, rigOptions{extra: "origin_timeout: 200ms\n"})
	hook := func(_ http.ResponseWriter, req *http.Request) bool {
		<-req.Context().Done()
		return true
	}
	r.hook.Store(&hook)
	if p := r.get("/api/listings/1"); p.status != http.StatusGatewayTimeout || p.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("status %d, %s", p.status, p.header.Get("Content-Type"))
	}
}

// TestSlotDroppedStartsANewEpoch: what the slot would have told is lost, so
// everything cached is.
func TestSlotDroppedStartsANewEpoch(t *testing.T) {
	r := newRig(t, rigOptions{redis: testbed.SharedRedis(t)})
	r.insert(1, "old", "Lagos", "house", 3, "100")
	r.caughtUp()
	r.warm("/api/listings/1")
	epoch := r.status().Position.Epoch
	tx := `update listings set title = 'new' where id = 1`
	r.exec(`select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = $1`, slotName(r.dbURL))
	r.eventually("the slot can be dropped", func() bool {
		_, err := r.db.Exec(t.Context(), `select pg_terminate_backend(active_pid), pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = $1`, slotName(r.dbURL))
		return err == nil
	})
	r.exec(tx)
	r.eventually("a new epoch", func() bool { return r.status().Position.Epoch != epoch })
	r.eventually("hits return", func() bool { return r.get("/api/listings/1").hit() })
	if p := r.get("/api/listings/1"); !strings.Contains(p.body, `"new"`) {
		t.Errorf("%q %s", p.header.Get("Cache-Status"), p.body)
	}
}

// TestServerCrashLosesNothing kills PostgreSQL the hard way.
func TestServerCrashLosesNothing(t *testing.T) {
	pg := testbed.NewPostgres(t, nil)
	r := newRig(t, rigOptions{dbURL: pg.URL("postgres"), redis: testbed.SharedRedis(t), extra: "max_lag: 300ms\n"})
	r.insert(1, "old", "Lagos", "house", 3, "100")
	r.caughtUp()
	r.warm("/api/listings/1")
	if err := pg.Stop("immediate"); err != nil {
		t.Fatal(err)
	}
	r.eventually("no hits any more", func() bool { p, err := r.try("/api/listings/1"); return err == nil && !p.hit() })
	if err := pg.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.eventually("writable", func() bool {
		_, err := r.db.Exec(t.Context(), `update listings set title = 'new' where id = 1`)
		return err == nil
	})
	r.eventually("hits return", func() bool { return r.get("/api/listings/1").hit() })
	r.caughtUp()
	for range 10 {
		if p := r.get("/api/listings/1"); !strings.Contains(p.body, `"new"`) {
			t.Errorf("%q %s", p.header.Get("Cache-Status"), p.body)
		}
	}
}
