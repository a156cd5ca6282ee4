package sidecar

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestNestedParametersOfAService: a service that nests parameters, as PHP and
// Express do, shows the rows of filter[name][] too, and its page is not left
// by what the proxy reads.
func TestNestedParametersOfAService(t *testing.T) {
	r := newRig(t, rigOptions{routes: "routes: [{path: /page, depends_on: [{table: agents, where: {name: 'query.filter[name]'}}]}]\n"})
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
	r.hook.Store(&hook)
	r.caughtUp()
	const plain = "/page?filter[name]=Ada"
	pages := []string{plain + "&filter[name][]=Ben", plain + "&filter%5Bname%5D%5B0%5D=Ben", plain + "&filter=Ben"}
	r.warm(append(pages, plain)...)
	r.exec(`insert into agents (id, name) overriding system value values (3, 'Cem')`)
	r.caughtUp()
	r.stillHits(plain)
	r.warm(append(pages, plain)...)
	r.exec(`insert into agents (id, name) overriding system value values (2, 'Ben')`)
	r.caughtUp()
	r.stillHits(plain)
	for _, page := range pages {
		r.misses(page)
	}
}
