package origin

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/dunglas/httpsfv"
)

var agentLinks = regexp.MustCompile(`href="/agents/([0-9]+)"`)

// TestPagesNameTheAgentsThatTheyShow: each agent that a page links to is in Depends-On, and no other;
// also where the client holds the page already, since caches take the field from that answer, too.
func TestPagesNameTheAgentsThatTheyShow(t *testing.T) {
	s := start(t, 60)
	s.exec("update listings set agent_id = null where id = 2")
	s.exec("update listings set agent_id = 3, city = 'Elsewhere' where id = 1")
	for _, path := range []string{"/", "/listings", "/listings?page_size=100", "/listings?city=Elsewhere", "/listings?city=Nowhere", "/listings/1", "/listings/2"} {
		a := s.get(path)
		var linked []string
		for _, m := range agentLinks.FindAllSubmatch(a.body, -1) {
			if id := string(m[1]); !slices.Contains(linked, id) {
				linked = append(linked, id)
			}
		}
		field := a.header.Get(dependsOn)
		var named []string
		list, err := httpsfv.UnmarshalList([]string{field})
		if err != nil {
			t.Fatalf("%s: %q: %v", path, field, err)
		}
		for _, member := range list {
			item, ok := member.(httpsfv.Item)
			if !ok || item.Value != httpsfv.Token("agents") {
				t.Fatalf("%s: %q", path, field)
			}
			id, _ := item.Params.Get("id")
			named = append(named, fmt.Sprint(id))
		}
		slices.Sort(linked)
		slices.Sort(named)
		if !slices.Equal(linked, named) {
			t.Errorf("%s shows the agents %s and names %s", path, strings.Join(linked, " "), field)
		}
		again := s.get(path, "If-None-Match", a.header.Get("ETag"))
		if again.status != 304 || again.header.Get(dependsOn) != field {
			t.Errorf("%s again: %d, %q", path, again.status, again.header.Get(dependsOn))
		}
	}
	if got := s.get("/listings/1").header.Get(dependsOn); got != "agents;id=3" {
		t.Errorf("the listing of agent 3 names %q", got)
	}
	if got := s.get("/listings?city=Nowhere").header.Values(dependsOn); got != nil {
		t.Errorf("a page without agents names %q", got)
	}
}
