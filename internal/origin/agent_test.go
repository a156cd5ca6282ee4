package origin

import (
	"fmt"
	"strings"
	"testing"
)

func TestAgentsAreEditedByTheAPI(t *testing.T) {
	s := start(t, 10)
	for _, step := range []struct {
		method, body string
		status       int
		want         string
	}{
		{"PUT", `{"name":"Ada","phone":"+44 1","email":"ada@example.org"}`, 200, `{"id":1,"name":"Ada","phone":"+44 1","email":"ada@example.org"}`},
		{"PATCH", `{"name":"Eve","id":7}`, 200, `{"id":1,"name":"Eve","phone":"+44 1","email":"ada@example.org"}`},
		{"PATCH", `{}`, 200, `{"id":1,"name":"Eve","phone":"+44 1","email":"ada@example.org"}`},
		{"PUT", `{"name":"Eve"}`, 200, `{"id":1,"name":"Eve","phone":null,"email":null}`},
		{"PUT", `{"phone":"1"}`, 400, `"name","detail":"is required"`},
		{"PATCH", `{"email":"Eve <eve@example.org>"}`, 400, `"email"`},
		{"PATCH", `{"email":"nowhere"}`, 400, `"email"`},
		{"PATCH", `{"title":"x"}`, 400, `is not a field of an agent`},
	} {
		a := s.send(step.method, "/api/agents/1", step.body)
		if a.status != step.status || !strings.Contains(string(a.body), step.want) {
			t.Errorf("%s %s: %d %s", step.method, step.body, a.status, a.body)
		}
	}
	if a := s.send("PATCH", "/api/agents/4711", `{"name":"x"}`); a.status != 404 {
		t.Errorf("an unknown agent: %d", a.status)
	}
}

func TestAgentFormKeepsWhatWasTyped(t *testing.T) {
	s := start(t, 10)
	a := s.post("/agents/1/edit", "name", "", "phone", "123", "email", `no"where`)
	wellFormed(t, "/agents/1/edit", a.body)
	for _, part := range []string{`id="name-fault"`, `id="email-fault"`, `value="123"`, "no&#34;where", `role="alert"`} {
		if a.status != 422 || !strings.Contains(string(a.body), part) {
			t.Errorf("%d without %s:\n%s", a.status, part, a.body)
		}
	}
	if a := s.post("/agents/1/edit", "name", "Eve", "phone", "", "email", ""); a.status != 303 || a.header.Get("Location") != "/agents/1" {
		t.Errorf("%d %s", a.status, a.header.Get("Location"))
	}
	if agent := decode[Agent](t, s.get("/api/agents/1")); agent.Name != "Eve" || agent.Phone != nil || agent.Email != nil {
		t.Errorf("%+v", agent)
	}
	if a := s.post("/agents/4711/edit", "name", "Eve"); a.status != 404 {
		t.Errorf("an unknown agent: %d", a.status)
	}
}

func TestAgentsPageHasTheirListingsAndNoOthers(t *testing.T) {
	s := start(t, 60)
	s.exec("update listings set agent_id = case when id <= 41 then 1 end")
	seen := make(map[string]int)
	for page, want := range map[int]int{1: 20, 2: 20, 3: 1, 4: 0} {
		path := fmt.Sprintf("/agents/1?page=%d", page)
		body := string(s.get(path).body)
		if n := strings.Count(body, `<li class="card">`); n != want {
			t.Errorf("%s: %d listings, want %d", path, n, want)
		}
		for id := 1; id <= 60; id++ {
			if link := fmt.Sprintf(`"/listings/%d"`, id); strings.Contains(body, link) {
				seen[link]++
			}
		}
		if next := strings.Contains(body, `rel="next"`); next != (page < 3) {
			t.Errorf("%s: a next page: %v", path, next)
		}
	}
	for link, n := range seen {
		if n != 1 {
			t.Errorf("%s is shown %d times", link, n)
		}
	}
	if len(seen) != 41 {
		t.Errorf("%d listings in all", len(seen))
	}
}

func TestFaultySearchKeepsWhatWasTyped(t *testing.T) {
	s := start(t, 10)
	a := s.get("/listings?city=Lagos&min_price=cheap&max_price=10&sort=price_asc")
	for _, part := range []string{`value="Lagos"`, `value="cheap" aria-invalid="true" aria-describedby="min_price-fault"`, `value="10"`, `<option value="price_asc" selected>`, `role="alert"`} {
		if a.status != 400 || !strings.Contains(string(a.body), part) {
			t.Errorf("%d without %s:\n%s", a.status, part, a.body)
		}
	}
	if a := s.get("/listings?min_price=cheap&page=0"); a.status != 400 || !strings.Contains(string(a.body), "<code>page</code>") {
		t.Errorf("a fault of no field of the form: %d\n%s", a.status, a.body)
	}
}
