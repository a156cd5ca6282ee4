package scenario

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"walpurge/dev/testbed"
	"walpurge/test/rig"
)

// joinRoutes declare the agents that a page shows by what stands in it.
const joinRoutes = `
routes:
  - path: /api/listings/{id}
    depends_on:
      - table: listings
        where: { id: path.id }
      - table: agents
        where: { id: body.agent.id }
  - path: /api/listings
    depends_on:
      - table: listings
        where: { city: query.city }
      - table: agents
        where: { id: "body.items[*].agent.id" }
`

// TestAgentsRenameRefreshesExactlyThePagesThatShowIt: the values of a condition
// stand in the response. Redis holds what memory holds.
func TestAgentsRenameRefreshesExactlyThePagesThatShowIt(t *testing.T) {
	r := rig.New(t, rig.Options{Redis: testbed.SharedRedis(t), Routes: joinRoutes})
	r.Host = "listings.test"
	r.Exec(`insert into agents (id, name) overriding system value values (1, 'Ada'), (2, 'Ben'), (3, 'Cy')`)
	r.Insert(1, "one", "Lagos", "house", 3, "100")
	r.Insert(2, "two", "Lagos", "house", 3, "100")
	r.Insert(3, "three", "Kano", "house", 3, "100")
	r.Insert(4, "four", "Kano", "house", 3, "100") // nobody's
	r.Exec(`update listings set agent_id = id where id < 4`)
	r.CaughtUp()
	const lagos, kano, abuja = "/api/listings?city=Lagos", "/api/listings?city=Kano", "/api/listings?city=Abuja"
	pages := []string{"/api/listings/1", "/api/listings/2", "/api/listings/3", "/api/listings/4", lagos, kano, abuja}
	shows := map[string]bool{"/api/listings/2": true, lagos: true}
	written := float64(len(pages)) // to Redis, by the process that runs
	for range 2 {
		r.Warm(pages...)
		r.Exec(`update agents set name = name || '!' where id = 2`)
		r.CaughtUp()
		for _, page := range pages {
			if p := r.Get(page); p.Hit() == shows[page] {
				t.Errorf("%s shows the agent: %t; Cache-Status %q", page, shows[page], p.Header.Get("Cache-Status"))
			}
		}
		// Again with what is in Redis alone.
		r.Warm(pages...)
		written += float64(len(shows))
		r.Eventually("Redis has them", func() bool {
			return r.Metric("walpurge_redis_requests_total", `op="set"`, `result="ok"`) >= written
		})
		written = 0
		if err := r.Stop(); err != nil {
			t.Fatal(err)
		}
		r.Start(true)
		r.CaughtUp()
		asked := r.Requests.Load()
		r.StillHits(pages...)
		if n := r.Requests.Load() - asked; n != 0 {
			t.Errorf("%d requests reached the origin", n)
		}
	}
	if p := r.Get("/api/listings/2"); !strings.Contains(p.Body, "Ben!!") {
		t.Errorf("%s", p.Body)
	}
}

// TestResponseNamesItsRows: with depends_on: response the field Depends-On is
// all that is known.
func TestResponseNamesItsRows(t *testing.T) {
	const watch = "  watch: [{table: agents, columns: [id]}]\n" // goes on with the section postgres
	r := rig.New(t, rig.Options{Extra: watch, Routes: "routes: [{path: /page, depends_on: response}]\n"})
	r.Exec(`insert into agents (id, name) overriding system value values (1, 'Ada'), (2, 'Ben')`)
	field := "agents;id=1"
	hook := func(w http.ResponseWriter, _ *http.Request) bool {
		if field != "" {
			w.Header().Set("Depends-On", field)
		}
		_, _ = io.WriteString(w, "page")
		return true
	}
	r.Hook.Store(&hook)
	r.CaughtUp()
	r.Warm("/page")
	r.Exec(`update agents set name = 'Ben!' where id = 2`)
	r.CaughtUp()
	r.StillHits("/page")
	field = ""
	r.Exec(`update agents set name = 'Ada!' where id = 1`)
	r.CaughtUp()
	for range 2 {
		r.Misses("/page")
	}
}
