package origin

import (
	"encoding/xml"
	"errors"
	"io"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

const script = `<script>alert("x")</script>`

// wellFormed reads a page with a strict parser that knows HTML's void elements, so that every
// element that is opened is closed.
func wellFormed(t *testing.T, path string, body []byte) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(strings.TrimPrefix(string(body), "<!doctype html>")))
	d.Strict = false // attributes without a value
	d.Entity = xml.HTMLEntity
	void := map[string]bool{"meta": true, "link": true, "input": true, "br": true, "option": true}
	var open []string
	for {
		token, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Errorf("%s: %v", path, err)
			return
		}
		switch x := token.(type) {
		case xml.StartElement:
			if x.Name.Local == "script" && (len(x.Attr) != 2 || x.Attr[0].Value != "/static/site.js") {
				t.Errorf("%s: a script got in", path)
			}
			if !void[x.Name.Local] {
				open = append(open, x.Name.Local)
			}
		case xml.EndElement:
			if void[x.Name.Local] {
				continue
			}
			if len(open) == 0 || open[len(open)-1] != x.Name.Local {
				t.Errorf("%s: </%s> closes %v", path, x.Name.Local, open)
				return
			}
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		t.Errorf("%s: %v left open", path, open)
	}
}

var (
	inputs    = regexp.MustCompile(`<(?:input|select|textarea) id="([^"]+)"`)
	anyInputs = regexp.MustCompile(`<(?:input|select|textarea)\b`)
)

func TestPagesAreWellFormedLabelledAndEscaped(t *testing.T) {
	s := start(t, 60)
	s.exec(`update listings set title = $1, description = $1, city = $1, property_type = $1, status = $1 where id = 1`, script)
	s.exec(`update agents set name = $1, phone = $1, email = $1`, script)
	s.exec("update listings set agent_id = 1, bedrooms = 0, created_at = now() where id = 1")
	s.exec("update listings set agent_id = null, bedrooms = null, description = null where id = 2")
	for path, status := range map[string]int{
		"/": 200, "/listings": 200, "/listings?page=2&type=house": 200, "/listings?city=Nowhere": 200,
		"/listings?city=" + url.QueryEscape(script): 200,
		"/listings/1": 200, "/listings/2": 200, "/listings/1/edit": 200, "/listings/2/edit": 200, "/listings/new": 200,
		"/agents/1": 200, "/agents/1?page=9": 200, "/agents/1/edit": 200, "/agents/4711": 404, "/agents/4711/edit": 404, "/agents/x": 404, "/agents/1?page=x": 400,
		"/listings?min_price=cheap&city=" + url.QueryEscape(script): 400,
		"/listings?page=0": 400, "/listings/4711": 404, "/listings/4711/edit": 404, "/listings/one": 404, "/nothing": 404, "/static/none": 404,
	} {
		a := s.get(path)
		page := string(a.body)
		if a.status != status || a.header.Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("%s: %d %s, want %d", path, a.status, a.header.Get("Content-Type"), status)
		}
		wellFormed(t, path, a.body)
		if strings.Count(page, "<script") != 1 {
			t.Errorf("%s: not escaped", path)
		}
		for _, part := range []string{`<html lang="en">`, `name="viewport"`, "<h1>", `<main id="main"`, "<title>"} {
			if !strings.Contains(page, part) {
				t.Errorf("%s: no %s", path, part)
			}
		}
		labelled := inputs.FindAllStringSubmatch(page, -1)
		if len(labelled) != len(anyInputs.FindAllString(page, -1)) {
			t.Errorf("%s: an input without an id", path)
		}
		for _, input := range labelled {
			if !strings.Contains(page, `<label for="`+input[1]+`">`) {
				t.Errorf("%s: %s has no label", path, input[1])
			}
		}
		if csp := a.header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") {
			t.Errorf("%s: Content-Security-Policy: %s", path, csp)
		}
	}
}

func (s *service) post(path string, fields ...string) answer {
	s.t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return s.do("POST", path, form.Encode(), "Content-Type", "application/x-www-form-urlencoded")
}

func TestFormsFromCreationToDeletion(t *testing.T) {
	s := start(t, 10)
	complete := []string{
		"title", "Loft " + script, "price", "1234.5", "city", "São Paulo", "property_type", "studio",
		"bedrooms", "", "status", "active", "agent_id", "3", "description", "One\r\nTwo",
	}
	created := s.post("/listings/new", complete...)
	if created.status != 303 || created.header.Get("Location") != "/listings/11" {
		t.Fatalf("create: %d, Location: %s\n%s", created.status, created.header.Get("Location"), created.body)
	}
	l := decode[Listing](t, s.get("/api/listings/11"))
	if l.Title != "Loft "+script || l.Price != 1234_50 || l.City != "São Paulo" || l.Bedrooms != nil || *l.AgentID != 3 || *l.Description != "One\nTwo" {
		t.Errorf("created %+v", l)
	}

	edited := s.post("/listings/11/edit", append(complete, "price", "99", "bedrooms", "2")...)
	if edited.status != 303 || edited.header.Get("Location") != "/listings/11" {
		t.Fatalf("edit: %d, Location: %s", edited.status, edited.header.Get("Location"))
	}
	if l := decode[Listing](t, s.get("/api/listings/11")); l.Price != 99_00 || *l.Bedrooms != 2 {
		t.Errorf("edited %+v", l)
	}
	if page := string(s.get("/listings/11").body); !strings.Contains(page, "US$ 99 ") || !strings.Contains(page, "Loft &lt;script&gt;") {
		t.Errorf("page after the edit:\n%s", page)
	}

	if a := s.post("/listings/11/delete"); a.status != 303 || a.header.Get("Location") != "/listings" {
		t.Errorf("delete: %d, Location: %s", a.status, a.header.Get("Location"))
	}
	if a := s.get("/listings/11"); a.status != 404 {
		t.Errorf("after the deletion: %d", a.status)
	}
}

func TestFaultyFormComesBackFilledIn(t *testing.T) {
	s := start(t, 10)
	for _, path := range []string{"/listings/new", "/listings/1/edit"} {
		a := s.post(path, "title", `"quoted" `+script, "price", "cheap", "city", "", "property_type", "castle", "status", "active", "agent_id", "4711")
		page := string(a.body)
		if a.status != 422 {
			t.Errorf("%s: %d", path, a.status)
		}
		wellFormed(t, path, a.body)
		for _, part := range []string{"&#34;quoted&#34;", `value="cheap" aria-invalid="true" aria-describedby="price-fault"`, `id="city-fault"`, `<option value="castle" selected>`, `role="alert"`} {
			if !strings.Contains(page, part) {
				t.Errorf("%s: no %s in\n%s", path, part, page)
			}
		}
	}
	a := s.post("/listings/1/edit", "title", "t", "price", "1", "city", "c", "property_type", "house", "status", "active", "agent_id", "4711")
	if a.status != 422 || !strings.Contains(string(a.body), `id="agent_id-fault"`) {
		t.Errorf("unknown agent: %d", a.status)
	}
	if a := s.do("POST", "/listings/new", "{}", "Content-Type", "application/json"); a.status != 415 {
		t.Errorf("JSON to a form: %d", a.status)
	}
	if a := s.post("/listings/new", "title", strings.Repeat("x", maxBody)); a.status != 413 {
		t.Errorf("large form: %d", a.status)
	}
	if a := s.post("/listings/1", "title", "t"); a.status != 405 || a.header.Get("Allow") != "GET, HEAD, OPTIONS" {
		t.Errorf("POST to a page: %d, Allow: %s", a.status, a.header.Get("Allow"))
	}
	if a := s.post("/listings/4711/delete"); a.status != 404 {
		t.Errorf("deletion of nothing: %d", a.status)
	}
}

func TestPagingKeepsTheConditions(t *testing.T) {
	s := start(t, 500)
	page := string(s.get("/listings?city=Lagos&sort=price_desc&page=2&min_price=1").body)
	for _, link := range []string{
		`rel="prev" href="/listings?city=Lagos&amp;min_price=1.00&amp;sort=price_desc"`,
		`rel="next" href="/listings?city=Lagos&amp;min_price=1.00&amp;page=3&amp;sort=price_desc"`,
	} {
		if !strings.Contains(page, link) {
			t.Errorf("no %s in\n%s", link, page)
		}
	}
	if first := string(s.get("/listings").body); strings.Contains(first, `rel="prev"`) {
		t.Error("the first page has one before it")
	}
}
