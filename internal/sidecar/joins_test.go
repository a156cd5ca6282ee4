package sidecar

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"walpurge/dev/testbed"
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
	r := newRig(t, rigOptions{redis: testbed.SharedRedis(t), routes: joinRoutes})
	r.host = "listings.test"
	r.exec(`insert into agents (id, name) overriding system value values (1, 'Ada'), (2, 'Ben'), (3, 'Cy')`)
	r.insert(1, "one", "Lagos", "house", 3, "100")
	r.insert(2, "two", "Lagos", "house", 3, "100")
	r.insert(3, "three", "Kano", "house", 3, "100")
	r.insert(4, "four", "Kano", "house", 3, "100") // nobody's
	r.exec(`update listings set agent_id = id where id < 4`)
	r.caughtUp()
	const lagos, kano, abuja = "/api/listings?city=Lagos", "/api/listings?city=Kano", "/api/listings?city=Abuja"
	pages := []string{"/api/listings/1", "/api/listings/2", "/api/listings/3", "/api/listings/4", lagos, kano, abuja}
	shows := map[string]bool{"/api/listings/2": true, lagos: true}
	written := float64(len(pages)) // to Redis, by the process that runs
	for range 2 {
		r.warm(pages...)
		r.exec(`update agents set name = name || '!' where id = 2`)
		r.caughtUp()
		for _, page := range pages {
			if p := r.get(page); p.hit() == shows[page] {
				t.Errorf("%s shows the agent: %t; Cache-Status %q", page, shows[page], p.header.Get("Cache-Status"))
			}
		}
		// Again with what is in Redis alone.
		r.warm(pages...)
		written += float64(len(shows))
		r.eventually("Redis has them", func() bool {
			return r.metric("walpurge_redis_requests_total", `op="set"`, `result="ok"`) >= written
		})
		written = 0
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		r.start(true)
		r.caughtUp()
		asked := r.requests.Load()
		r.stillHits(pages...)
		if n := r.requests.Load() - asked; n != 0 {
			t.Errorf("%d requests reached the origin", n)
		}
	}
	if p := r.get("/api/listings/2"); !strings.Contains(p.body, "Ben!!") {
		t.Errorf("%s", p.body)
	}
}

// TestResponseNamesItsRows: with depends_on: response the field Depends-On is
// all that is known.
func TestResponseNamesItsRows(t *testing.T) {
	const watch = "  watch: [{table: agents, columns: [id]}]\n" // goes on with the section postgres
	r := newRig(t, rigOptions{extra: watch, routes: "routes: [{path: /page, depends_on: response}]\n"})
	r.exec(`insert into agents (id, name) overriding system value values (1, 'Ada'), (2, 'Ben')`)
	field := "agents;id=1"
	hook := func(w http.ResponseWriter, _ *http.Request) bool {
		if field != "" {
			w.Header().Set("Depends-On", field)
		}
		_, _ = io.WriteString(w, "page")
		return true
	}
	r.hook.Store(&hook)
	r.caughtUp()
	r.warm("/page")
	r.exec(`update agents set name = 'Ben!' where id = 2`)
	r.caughtUp()
	r.stillHits("/page")
	field = ""
	r.exec(`update agents set name = 'Ada!' where id = 1`)
	r.caughtUp()
	for range 2 {
		r.misses("/page")
	}
}
