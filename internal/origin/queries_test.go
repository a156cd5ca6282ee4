package origin

import (
	"strconv"
	"strings"
	"testing"
)

func TestFrontPageCountsByCity(t *testing.T) {
	s := start(t, 0)
	if a := s.get("/"); a.status != 200 || strings.Contains(string(a.body), `class="count"`) {
		t.Fatalf("without listings: %d %s", a.status, a.body)
	}
	if a := s.get("/api/cities"); string(a.body) != "[]\n" {
		t.Fatalf("without listings: %s", a.body)
	}
	s.exec(`insert into listings (title, price, city, property_type) select 't' || n, 1, case when n <= 3 then 'Lagos' else 'Accra' end, 'house' from generate_series(1, 17) n`)
	a := s.get("/")
	accra, lagos := `Accra <span class="count">14</span>`, `Lagos <span class="count">3</span>`
	if at := strings.Index(string(a.body), accra); at < 0 || !strings.Contains(string(a.body)[at:], lagos) {
		t.Errorf("want %s and then %s in %s", accra, lagos, a.body)
	}
	if n := strings.Count(string(a.body), `<li class="card">`); n != homeItems {
		t.Errorf("%d listings, want %d", n, homeItems)
	}
	got := decode[[]CityCount](t, s.get("/api/cities"))
	if len(got) != 2 || got[0] != (CityCount{"Accra", 14}) || got[1] != (CityCount{"Lagos", 3}) {
		t.Errorf("got %v", got)
	}
}

func TestMetricsCountStatements(t *testing.T) {
	s := start(t, 100)
	sent := func() (n int) {
		for line := range strings.Lines(string(s.get("/metrics").body)) {
			if text, ok := strings.CutPrefix(line, "origin_queries_total "); ok {
				n, _ = strconv.Atoi(strings.TrimSpace(text))
			}
		}
		return n
	}
	before := sent() // by the start
	s.get("/api/listings/1")
	s.get("/listings")
	if n := sent() - before; n != 2 {
		t.Errorf("%d statements, want 2", n)
	}
}
