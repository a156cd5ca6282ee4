package origin

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestRequestsAndTheirStatus(t *testing.T) {
	s := start(t, 100)
	const valid = `{"title":"t","price":1,"city":"Lagos","property_type":"house"}`
	large := `{"title":"` + strings.Repeat("x", maxBody) + `"}`
	for _, test := range []struct {
		method, path, mediaType, body string
		status                        int
		header, value                 string // one header of the answer
	}{
		{"GET", "/api/listings", "", "", 200, "Content-Type", "application/json"},
		{"HEAD", "/api/listings", "", "", 200, "Content-Type", "application/json"},
		{"GET", "/api/listings/1", "", "", 200, "Content-Type", "application/json"},
		{"GET", "/api/agents/1", "", "", 200, "Content-Type", "application/json"},
		{"GET", "/healthz", "", "", 200, "", ""},
		{"GET", "/api/listings/4711", "", "", 404, "", ""},
		{"GET", "/api/listings/99999999999999999999", "", "", 404, "", ""},
		{"GET", "/api/listings/one", "", "", 400, "", ""},
		{"GET", "/api/listings/-1", "", "", 400, "", ""},
		{"GET", "/api/listings/", "", "", 404, "", ""},
		{"GET", "/api/agents/4711", "", "", 404, "", ""},
		{"GET", "/api/agents/x", "", "", 400, "", ""},
		{"GET", "/api/nothing", "", "", 404, "", ""},
		{"GET", "/api/listings?page=0", "", "", 400, "", ""},
		{"GET", "/api/listings?city=%zz", "", "", 400, "", ""},
		{"GET", "/api/listings?city=a;b", "", "", 400, "", ""},
		{"GET", "/api/listings?city=%00", "", "", 400, "", ""},
		{"DELETE", "/api/listings", "", "", 405, "Allow", "GET, HEAD, POST, OPTIONS"},
		{"POST", "/api/listings/1", "application/json", valid, 405, "Allow", "DELETE, GET, HEAD, PATCH, PUT, OPTIONS"},
		{"PUT", "/api/agents/1", "application/json", "{}", 400, "", ""},
		{"DELETE", "/api/agents/1", "", "", 405, "Allow", "GET, HEAD, PATCH, PUT, OPTIONS"},
		{"OPTIONS", "/api/agents/1", "", "", 204, "Allow", "GET, HEAD, PATCH, PUT, OPTIONS"},
		{"POST", "/api/listings", "", valid, 415, "Accept", "application/json"},
		{"POST", "/api/listings", "text/plain", valid, 415, "Accept", "application/json"},
		{"PATCH", "/api/listings/1", "text/plain", "{}", 415, "Accept", "application/json, application/merge-patch+json"},
		{"POST", "/api/listings", "application/json", "", 400, "", ""},
		{"POST", "/api/listings", "application/json", "null", 400, "", ""},
		{"POST", "/api/listings", "application/json", "[]", 400, "", ""},
		{"POST", "/api/listings", "application/json", valid + valid, 400, "", ""},
		{"POST", "/api/listings", "application/json", "{}", 400, "", ""},
		{"POST", "/api/listings", "application/json", large, 413, "", ""},
		{"POST", "/api/listings", "application/json; charset=utf-8", valid, 201, "Content-Type", "application/json"},
		{"PUT", "/api/listings/4711", "application/json", valid, 404, "", ""},
		{"PUT", "/api/listings/1", "application/json", `{"title":"t"}`, 400, "", ""},
		{"PATCH", "/api/listings/4711", "application/json", `{"title":"t"}`, 404, "", ""},
		{"PATCH", "/api/listings/4711", "application/json", `{}`, 404, "", ""},
		{"PATCH", "/api/listings/1", "application/merge-patch+json", `{"title":"t"}`, 200, "", ""},
		{"PATCH", "/api/listings/1", "application/json", `{}`, 200, "", ""},
		{"PATCH", "/api/listings/1", "application/json", `{"agent_id":4711}`, 400, "", ""},
		{"DELETE", "/api/listings/4711", "", "", 404, "", ""},
		{"DELETE", "/api/listings/2", "", "", 204, "", ""},
		{"DELETE", "/api/listings/2", "", "", 404, "", ""},
	} {
		name := test.method + " " + test.path + " " + test.body[:min(40, len(test.body))]
		var headers []string
		if test.mediaType != "" {
			headers = []string{"Content-Type", test.mediaType}
		}
		a := s.do(test.method, test.path, test.body, headers...)
		if a.status != test.status || test.header != "" && a.header.Get(test.header) != test.value {
			t.Errorf("%s: %d, %s: %q; want %d, %q\n%s", name, a.status, test.header, a.header.Get(test.header), test.status, test.value, a.body)
		}
		if a.header.Get("Cache-Control") != "" {
			t.Errorf("%s: Cache-Control: %s", name, a.header.Get("Cache-Control"))
		}
		if a.status >= 400 {
			checkProblem(t, name, a)
		}
	}
}

// checkProblem holds an answer against RFC 9457.
func checkProblem(t *testing.T, name string, a answer) {
	t.Helper()
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("%s: Content-Type: %s", name, got)
	}
	if a.header.Get("ETag") != "" {
		t.Errorf("%s: a failure has an ETag", name)
	}
	p := decode[problem](t, a)
	if p.Type != "about:blank" || p.Title == "" || p.Status != a.status || p.Detail == "" {
		t.Errorf("%s: %s", name, a.body)
	}
	if strings.Contains(string(a.body), "SQLSTATE") {
		t.Errorf("%s: the answer quotes the database: %s", name, a.body)
	}
}

func TestEveryFaultIsNamed(t *testing.T) {
	s := start(t, 10)
	for body, want := range map[string]string{
		`{}`: "title, price, city, property_type",
		`{"title":" ","price":-1,"city":null,"property_type":7,"bedrooms":"2","status":"gone","agent_id":0,"rooms":1}`://
		"title, price, city, property_type, bedrooms, status, agent_id, rooms",
		`{"title":"t","price":1.234,"city":"c","property_type":"p"}`:                                         "price",
		`{"title":"t","price":"1","city":"c","property_type":"p"}`:                                           "price",
		`{"title":"t","price":1e400,"city":"c","property_type":"p"}`:                                         "price",
		`{"title":"t","price":1,"city":"c\u0000","property_type":"p"}`:                                       "city",
		`{"title":"` + strings.Repeat("é", 201) + `","price":1,"city":"c","property_type":"p"}`:              "title",
		`{"title":"t","price":1,"city":"c","property_type":"p","agent_id":4711}`:                             "agent_id",
		`{"title":"t","price":1,"city":"c","property_type":"p","bedrooms":101,"description":["x"]}`:          "description, bedrooms",
		`{"title":"t","price":1,"city":"c","property_type":"p","bedrooms":1.5,"status":null,"agent_id":1.0}`: "bedrooms, status, agent_id",
	} {
		a := s.send("POST", "/api/listings", body)
		var names []string
		for _, x := range decode[problem](t, a).Faults {
			names = append(names, x.Name)
		}
		got := strings.Split(strings.Join(names, ", "), ", ")
		expected := strings.Split(want, ", ")
		slices.Sort(got)
		slices.Sort(expected)
		if a.status != 400 || !slices.Equal(got, expected) {
			t.Errorf("%s: %d, faults %v; want %v", body, a.status, got, expected)
		}
	}
}

func TestListingFromCreationToDeletion(t *testing.T) {
	s := start(t, 100)
	created := s.send("POST", "/api/listings", `{"title":"Loft <b>& more","description":"Two\nlines","price":1234.5,"city":"São Paulo",
		"property_type":"Studio","bedrooms":0,"agent_id":3}`)
	listing := decode[Listing](t, created)
	path := fmt.Sprintf("/api/listings/%d", listing.ID)
	if created.status != 201 || created.header.Get("Location") != path {
		t.Fatalf("%d, Location: %s", created.status, created.header.Get("Location"))
	}
	read := s.get(path)
	if string(read.body) != string(created.body) {
		t.Errorf("created %s\nread    %s", created.body, read.body)
	}
	if listing.Title != "Loft <b>& more" || *listing.Description != "Two\nlines" || listing.City != "São Paulo" ||
		listing.PropertyType != "studio" || *listing.Bedrooms != 0 || listing.Status != "active" || listing.Agent.ID != 3 {
		t.Errorf("%s", read.body)
	}
	if !strings.Contains(string(read.body), `"price":1234.50,`) {
		t.Errorf("price is no number with two decimals: %s", read.body)
	}

	patched := decode[Listing](t, s.send("PATCH", path, `{"bedrooms":null,"price":99}`))
	if patched.Bedrooms != nil || patched.Price != 99_00 || patched.Title != listing.Title || *patched.AgentID != 3 {
		t.Errorf("after PATCH: %+v", patched)
	}
	if !patched.UpdatedAt.After(listing.UpdatedAt) || !patched.CreatedAt.Equal(listing.CreatedAt) {
		t.Errorf("after PATCH: updated %s, was %s; created %s, was %s", patched.UpdatedAt, listing.UpdatedAt, patched.CreatedAt, listing.CreatedAt)
	}

	whole := s.get(path)
	if empty := s.send("PATCH", path, "{}"); string(empty.body) != string(whole.body) {
		t.Errorf("an empty PATCH changed\n%s to\n%s", whole.body, empty.body)
	}
	// What was read can be sent back as it is.
	if again := s.send("PUT", path, string(whole.body)); again.status != 200 {
		t.Errorf("PUT of what was read: %d %s", again.status, again.body)
	}
	replaced := decode[Listing](t, s.send("PUT", path, `{"title":"New","price":5,"city":"Accra","property_type":"house"}`))
	if replaced.Description != nil || replaced.AgentID != nil || replaced.Agent != nil || replaced.Status != "active" || replaced.City != "Accra" {
		t.Errorf("after PUT: %+v", replaced)
	}

	if a := s.do("DELETE", path, ""); a.status != 204 || len(a.body) > 0 {
		t.Errorf("DELETE: %d %s", a.status, a.body)
	}
	if a := s.get(path); a.status != 404 {
		t.Errorf("after DELETE: %d", a.status)
	}
}

func TestListItemsHaveExactlyTheirMembers(t *testing.T) {
	s := start(t, 10)
	page := decode[struct {
		Page, Page_size int
		Has_more        bool
		Items           []map[string]json.RawMessage
	}](t, s.get("/api/listings?page_size=3"))
	if page.Page != 1 || page.Page_size != 3 || !page.Has_more || len(page.Items) != 3 {
		t.Fatalf("%+v", page)
	}
	want := []string{"agent", "bedrooms", "city", "created_at", "id", "price", "property_type", "status", "title"}
	var got []string
	for name := range page.Items[0] {
		got = append(got, name)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("members %v, want %v", got, want)
	}
	var agent map[string]any
	if err := json.Unmarshal(page.Items[0]["agent"], &agent); err != nil || len(agent) != 2 || agent["id"] == nil || agent["name"] == nil {
		t.Errorf("agent %v, %v", agent, err)
	}
}

func TestChangesOutsideAListLeaveItsBytesAlone(t *testing.T) {
	s := start(t, 50)
	before := s.get("/api/listings").header.Get("ETag")
	s.exec("update listings set description = 'other', updated_at = now()")
	s.exec("update agents set phone = 'other', email = null")
	if after := s.get("/api/listings").header.Get("ETag"); after != before {
		t.Error("the list changed with columns that it doesn't show")
	}
	s.exec("update listings set price = price + 0.01 where id = (select max(id) from listings)")
	if after := s.get("/api/listings?page_size=100").header.Get("ETag"); after == before {
		t.Error("the list didn't change with a price")
	}
}

func TestEmptyListIsAnArray(t *testing.T) {
	s := start(t, 0)
	if got := strings.TrimSpace(string(s.get("/api/listings").body)); got != `{"page":1,"page_size":20,"has_more":false,"items":[]}` {
		t.Error(got)
	}
}

func TestUnavailableDatabaseIsA503(t *testing.T) {
	s := start(t, 0)
	s.store.Close()
	a := s.get("/api/listings")
	if a.status != 503 || a.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", a.status, a.body)
	}
	checkProblem(t, "list", a)
	if a := s.get("/healthz"); a.status != 503 {
		t.Errorf("healthz: %d", a.status)
	}
}

func TestUnexpectedFailureIsA500WithoutItsText(t *testing.T) {
	s := start(t, 0)
	s.exec("alter table listings rename column title to heading")
	a := s.get("/api/listings")
	if a.status != 500 || strings.Contains(string(a.body), "title\"") && strings.Contains(string(a.body), "column") {
		t.Errorf("%d %s", a.status, a.body)
	}
	checkProblem(t, "list", a)
}
