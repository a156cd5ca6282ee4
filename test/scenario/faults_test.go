package scenario

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"walpurge/dev/testbed"
	"walpurge/test/rig"
)

// TestListenerCutOff: cut off from PostgreSQL, the proxy stops serving hits
// within max_lag, requests reach the origin, and once the connection is back
// hits return with nothing stale.
func TestListenerCutOff(t *testing.T) {
	for _, how := range []string{"closed", "silent"} {
		t.Run(how, func(t *testing.T) {
			db := testbed.Database(t)
			cable, throughCable := rig.NewCable(t, db)
			r := rig.New(t, rig.Options{DBURL: db, PgURL: throughCable, Redis: testbed.SharedRedis(t), Extra: "max_lag: 300ms\n"})
			r.Insert(1, "old", "Lagos", "house", 3, "100")
			r.CaughtUp()
			r.Warm("/api/listings/1", "/api/listings/2")
			epoch := r.Status().Position.Epoch

			cut, mend := cable.Cut, cable.Mend
			if how == "silent" {
				cut, mend = cable.Stall, cable.Flow
			}
			cut()
			at := time.Now()
			r.Exec(`update listings set title = 'new' where id = 1`)
			r.Eventually("no hits any more", func() bool { return !r.Get("/api/listings/2").Hit() })
			without := time.Since(at)
			testbed.Measured(t, "the last hit came at most %v after the cut (max_lag 300 ms)", without)
			if without > 600*time.Millisecond {
				t.Errorf("hits went on for %v after the cut", without)
			}
			if p := r.Get("/api/listings/1"); p.Hit() || !strings.Contains(p.Body, `"new"`) || !strings.Contains(p.Header.Get("Cache-Status"), "fwd=bypass") {
				t.Errorf("%q %s", p.Header.Get("Cache-Status"), p.Body)
			}
			if resp, err := r.Client.Get(r.Admin + "/healthz"); err != nil || resp.StatusCode != 200 {
				t.Errorf("healthz: %v, %v", resp, err)
			}

			mend()
			r.Eventually("hits return", func() bool { return r.Get("/api/listings/2").Hit() })
			for range 10 {
				if p := r.Get("/api/listings/1"); !strings.Contains(p.Body, `"new"`) {
					t.Errorf("after reconnection: %q %s", p.Header.Get("Cache-Status"), p.Body)
				}
			}
			if now := r.Status().Position.Epoch; now != epoch {
				t.Errorf("a new epoch, %s after %s, though nothing was missed", now, epoch)
			}
		})
	}
}

// TestRedisStopped: without Redis the memory tier and the origin carry on.
func TestRedisStopped(t *testing.T) {
	redis := testbed.NewRedis(t)
	r := rig.New(t, rig.Options{Redis: redis.URL()})
	r.Insert(1, "one", "Lagos", "house", 3, "100")
	r.CaughtUp()
	r.Warm("/api/listings/1")
	if err := redis.Stop(); err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		if p := r.Get(fmt.Sprintf("/api/listings/%d", i)); p.Status != 200 && p.Status != 404 {
			t.Errorf("status %d", p.Status)
		}
	}
	r.StillHits("/api/listings/1")
	if n := r.Metric("walpurge_redis_requests_total", `result="error"`); n == 0 {
		t.Error("no error was counted")
	}
	r.Exec(`update listings set title = 'edited' where id = 1`)
	r.CaughtUp()
	if p := r.Get("/api/listings/1"); !strings.Contains(p.Body, "edited") {
		t.Errorf("%q %s", p.Header.Get("Cache-Status"), p.Body)
	}
	if err := redis.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.Eventually("Redis is used again", func() bool {
		r.Get(fmt.Sprintf("/api/listings/%d", time.Now().UnixNano()))
		return r.Metric("walpurge_redis_requests_total", `op="set"`, `result="ok"`) > 0
	})
}

// TestOriginDown: what is proven fresh is served, the rest is a problem
// document.
func TestOriginDown(t *testing.T) {
	r := rig.New(t, rig.Options{})
	r.Insert(1, "one", "Lagos", "house", 3, "100")
	r.CaughtUp()
	r.Warm("/api/listings/1")
	r.Origin.Listener.Close()
	r.Origin.CloseClientConnections()
	r.StillHits("/api/listings/1")
	p := r.Get("/api/listings/2")
	var problem struct {
		Title  string `json:"title"`
		Status int    `json:"status"`
	}
	if p.Status != http.StatusBadGateway || p.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("status %d, %s", p.Status, p.Header.Get("Content-Type"))
	}
	if err := json.Unmarshal([]byte(p.Body), &problem); err != nil || problem.Status != 502 || problem.Title == "" {
		t.Errorf("problem document %q: %v", p.Body, err)
	}
}

// TestOriginTimesOut: an origin that doesn't answer in time is a 504.
func TestOriginTimesOut(t *testing.T) {
	r := rig.New(t, rig.Options{Extra: "origin_timeout: 200ms\n"})
	hook := func(_ http.ResponseWriter, req *http.Request) bool {
		<-req.Context().Done()
		return true
	}
	r.Hook.Store(&hook)
	if p := r.Get("/api/listings/1"); p.Status != http.StatusGatewayTimeout || p.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("status %d, %s", p.Status, p.Header.Get("Content-Type"))
	}
}

// TestSlotDroppedStartsANewEpoch: what the slot would have told is lost, so
// everything cached is.
func TestSlotDroppedStartsANewEpoch(t *testing.T) {
	r := rig.New(t, rig.Options{Redis: testbed.SharedRedis(t)})
	r.Insert(1, "old", "Lagos", "house", 3, "100")
	r.CaughtUp()
	r.Warm("/api/listings/1")
	epoch := r.Status().Position.Epoch
	tx := `update listings set title = 'new' where id = 1`
	r.Exec(`select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = $1`, rig.SlotName(r.DBURL))
	r.Eventually("the slot can be dropped", func() bool {
		_, err := r.DB.Exec(t.Context(), `select pg_terminate_backend(active_pid), pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = $1`, rig.SlotName(r.DBURL))
		return err == nil
	})
	r.Exec(tx)
	r.Eventually("a new epoch", func() bool { return r.Status().Position.Epoch != epoch })
	r.Eventually("hits return", func() bool { return r.Get("/api/listings/1").Hit() })
	if p := r.Get("/api/listings/1"); !strings.Contains(p.Body, `"new"`) {
		t.Errorf("%q %s", p.Header.Get("Cache-Status"), p.Body)
	}
}

// TestServerCrashLosesNothing kills PostgreSQL the hard way.
func TestServerCrashLosesNothing(t *testing.T) {
	pg := testbed.NewPostgres(t, nil)
	r := rig.New(t, rig.Options{DBURL: pg.URL("postgres"), Redis: testbed.SharedRedis(t), Extra: "max_lag: 300ms\n"})
	r.Insert(1, "old", "Lagos", "house", 3, "100")
	r.CaughtUp()
	r.Warm("/api/listings/1")
	if err := pg.Stop("immediate"); err != nil {
		t.Fatal(err)
	}
	r.Eventually("no hits any more", func() bool { p, err := r.Try("/api/listings/1"); return err == nil && !p.Hit() })
	if err := pg.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.Eventually("writable", func() bool {
		_, err := r.DB.Exec(t.Context(), `update listings set title = 'new' where id = 1`)
		return err == nil
	})
	r.Eventually("hits return", func() bool { return r.Get("/api/listings/1").Hit() })
	r.CaughtUp()
	for range 10 {
		if p := r.Get("/api/listings/1"); !strings.Contains(p.Body, `"new"`) {
			t.Errorf("%q %s", p.Header.Get("Cache-Status"), p.Body)
		}
	}
}
