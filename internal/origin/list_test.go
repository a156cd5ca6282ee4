package origin

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// plant empties the tables and fills in listings that are told apart by their ids.
func (s *service) plant(rows ...string) {
	s.t.Helper()
	s.exec("truncate listings, agents restart identity")
	for _, row := range rows {
		s.exec("insert into listings (id, title, city, property_type, bedrooms, price, created_at) values (" + row + ")")
	}
}

func (s *service) ids(query string) []int64 {
	s.t.Helper()
	a := s.get("/api/listings" + query)
	if a.status != 200 {
		s.t.Fatalf("%s: %d %s", query, a.status, a.body)
	}
	ids := []int64{}
	for _, item := range decode[Page](s.t, a).Items {
		ids = append(ids, item.ID)
	}
	return ids
}

func TestConditionsAndOrders(t *testing.T) {
	s := start(t, 0)
	s.plant(
		`1, 'a', 'Lagos', 'house', 3, 100.00, '2025-01-01'`,
		`2, 'b', 'Lagos', 'studio', 0, 50.50, '2025-01-03'`,
		`3, 'c', 'Accra', 'house', null, 100.00, '2025-01-02'`,
		`4, 'd', 'São Paulo', 'villa', 3, 200.00, '2025-01-02'`,
	)
	for query, want := range map[string][]int64{
		"":                                      {2, 4, 3, 1},
		"?sort=newest":                          {2, 4, 3, 1},
		"?sort=price_asc":                       {2, 1, 3, 4},
		"?sort=price_desc":                      {4, 3, 1, 2},
		"?city=Lagos":                           {2, 1},
		"?city=lagos":                           {},
		"?city=S%C3%A3o%20Paulo":                {4},
		"?type=HOUSE":                           {3, 1},
		"?bedrooms=3":                           {4, 1},
		"?bedrooms=0":                           {2},
		"?min_price=100":                        {4, 3, 1},
		"?min_price=100.01":                     {4},
		"?max_price=100":                        {2, 3, 1},
		"?max_price=99.99":                      {2},
		"?min_price=100&max_price=100":          {3, 1},
		"?city=Lagos&type=house&bedrooms=3":     {1},
		"?city=Accra&bedrooms=3":                {},
		"?page_size=3":                          {2, 4, 3},
		"?page_size=3&page=2":                   {1},
		"?page_size=3&page=3":                   {},
		"?type=house&sort=price_desc&page=1000": {},
	} {
		if got := s.ids(query); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
}

func TestHasMoreAtTheEdge(t *testing.T) {
	s := start(t, 40)
	for page, want := range map[int]bool{1: true, 2: false, 3: false} {
		if got := decode[Page](t, s.get(fmt.Sprintf("/api/listings?page=%d", page))).HasMore; got != want {
			t.Errorf("page %d of 40 listings: has_more %t", page, got)
		}
	}
}

func TestPagesOfEqualSortKeysNeitherRepeatNorLose(t *testing.T) {
	s := start(t, 300)
	s.exec("update listings set price = 7, created_at = '2025-01-01'")
	// Moves rows about in the heap, so that an order left open would show.
	s.exec("update listings set status = 'sold' where id % 3 = 0")
	for _, sort := range []Sort{Newest, PriceAsc, PriceDesc} {
		var all []int64
		for page := 1; page <= 43; page++ {
			all = append(all, s.ids(fmt.Sprintf("?sort=%s&page_size=7&page=%d", sort, page))...)
		}
		if !slices.IsSortedFunc(all, func(a, b int64) int {
			if sort == PriceAsc {
				return int(a - b)
			}
			return int(b - a)
		}) {
			t.Errorf("%s: equal keys are not in the order of ids: %v", sort, all)
		}
		slices.Sort(all)
		if len(all) != 300 || len(slices.Compact(all)) != 300 {
			t.Errorf("%s: %d items on all pages", sort, len(all))
		}
	}
}

// statements counts what pgx sends to the database on a request's behalf.
type statements struct{ n atomic.Int32 }

func (c *statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.n.Add(1)
	return ctx
}

func (*statements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func TestOneStatementARequest(t *testing.T) {
	s := start(t, 200)
	var sent statements
	config := s.store.pool.Config()
	config.MaxConns = 1
	config.ConnConfig.Tracer = &sent
	s.store.pool.Close()
	var err error
	if s.store.pool, err = pgxpool.NewWithConfig(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	for _, request := range [][3]string{
		{"GET", "/api/listings?page_size=100"},
		{"GET", "/api/listings?city=Lagos&type=house&bedrooms=3&min_price=1&page=2"},
		{"GET", "/api/listings/1"},
		{"GET", "/api/agents/1"},
		{"GET", "/api/cities"},
		{"GET", "/"},
		{"GET", "/listings"},
		{"GET", "/listings/1"},
		{"GET", "/listings/1/edit"},
		{"POST", "/api/listings", `{"title":"t","price":1,"city":"c","property_type":"house"}`},
		{"PUT", "/api/listings/1", `{"title":"t","price":1,"city":"c","property_type":"house"}`},
		{"PATCH", "/api/listings/1", `{"price":2}`},
		{"PATCH", "/api/listings/1", `{}`},
		{"DELETE", "/api/listings/2"},
		{"GET", "/agents/1"},
		{"GET", "/agents/1?page=2"},
		{"GET", "/agents/1/edit"},
		{"PUT", "/api/agents/1", `{"name":"n","phone":null,"email":null}`},
		{"PATCH", "/api/agents/1", `{"name":"m"}`},
	} {
		sent.n.Store(0)
		if a := s.send(request[0], request[1], request[2]); a.status >= 300 {
			t.Errorf("%s: %d", request, a.status)
		}
		if n := sent.n.Load(); n != 1 {
			t.Errorf("%s: %d statements", request, n)
		}
	}
}
