package scenario

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"walpurge/test/rig"
)

// TestNestedParametersOfAService: a service that nests parameters, as PHP and
// Express do, shows the rows of filter[name][] too, and its page is not left
// by what the proxy reads.
func TestNestedParametersOfAService(t *testing.T) {
	r := rig.New(t, rig.Options{Routes: "routes: [{path: /page, depends_on: [{table: agents, where: {name: 'query.filter[name]'}}]}]\n"})
	hook := func(w http.ResponseWriter, req *http.Request) bool {
		names := req.URL.Query()["filter[name]"]
		for key, values := range req.URL.Query() {
			if strings.HasPrefix(key, "filter[name][") || key == "filter" {
				names = values
			}
		}
		_, _ = io.WriteString(w, "agents called "+strings.Join(names, " or "))
		return true
	}
	r.Hook.Store(&hook)
	r.CaughtUp()
	const plain = "/page?filter[name]=Ada"
	pages := []string{plain + "&filter[name][]=Ben", plain + "&filter%5Bname%5D%5B0%5D=Ben", plain + "&filter=Ben"}
	r.Warm(append(pages, plain)...)
	r.Exec(`insert into agents (id, name) overriding system value values (3, 'Cem')`)
	r.CaughtUp()
	r.StillHits(plain)
	r.Warm(append(pages, plain)...)
	r.Exec(`insert into agents (id, name) overriding system value values (2, 'Ben')`)
	r.CaughtUp()
	r.StillHits(plain)
	for _, page := range pages {
		r.Misses(page)
	}
}
