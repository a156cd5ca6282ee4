package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
)

// catalogue is what there is to be read and changed.
type catalogue struct {
	cities   []string // the one with the most listings first
	types    []string
	agents   int64
	listings int64        // ids from 1 to listings existed at the start
	newest   atomic.Int64 // the highest id that is known to have been inserted
}

// readCatalogue asks the database.
func readCatalogue(ctx context.Context, conn *pgx.Conn) (*catalogue, error) {
	c := &catalogue{}
	err := conn.QueryRow(ctx, "SELECT max(id), (SELECT max(id) FROM agents) FROM listings").Scan(&c.listings, &c.agents)
	if err != nil {
		return nil, fmt.Errorf("read the catalogue: %w", err)
	}
	c.newest.Store(c.listings)
	for column, into := range map[string]*[]string{"city": &c.cities, "property_type": &c.types} {
		rows, err := conn.Query(ctx, "SELECT "+column+" FROM listings GROUP BY 1 ORDER BY count(*) DESC, 1")
		if err != nil {
			return nil, fmt.Errorf("read the catalogue: %w", err)
		}
		if *into, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
			return nil, fmt.Errorf("read the catalogue: %w", err)
		}
	}
	return c, nil
}

// born tells that id has been inserted.
func (c *catalogue) born(id int64) {
	for {
		newest := c.newest.Load()
		if id <= newest || c.newest.CompareAndSwap(newest, id) {
			return
		}
	}
}

// audience decides what is asked for and what is changed: few things very often, most things rarely. It is for one
// goroutine.
type audience struct {
	*catalogue
	random   *rand.Rand
	listing  *rand.Zipf
	city     *rand.Zipf
	pageNo   *rand.Zipf
	stride   int64 // spreads the popular listings over the table
	minPrice []int
}

// popularity is the exponent of the Zipf distributions. Web traffic is found near 1; rand.Zipf wants more than 1.
const popularity = 1.15

func newAudience(c *catalogue, seed uint64) *audience {
	random := rand.New(rand.NewPCG(seed, 0))
	return &audience{
		catalogue: c,
		random:    random,
		listing:   rand.NewZipf(random, popularity, 1, uint64(c.listings-1)),
		city:      rand.NewZipf(random, popularity, 1, uint64(len(c.cities)-1)),
		pageNo:    rand.NewZipf(random, 2.5, 1, 9),
		stride:    coprime(c.listings),
		minPrice:  []int{50_000, 100_000, 250_000, 500_000, 1_000_000},
	}
}

// coprime is a number near n/φ without a common factor with n: its multiples modulo n are a permutation.
func coprime(n int64) int64 {
	for k := max(1, n*618/1000); ; k++ {
		a, b := n, k
		for b != 0 {
			a, b = b, a%b
		}
		if a == 1 {
			return k
		}
	}
}

// popularListing is the id of a listing that existed at the start.
func (a *audience) popularListing() int64 {
	return 1 + int64(a.listing.Uint64())*a.stride%a.listings
}

// anyListing is the id of a listing, each as likely as the others.
func (a *audience) anyListing() int64 { return 1 + a.random.Int64N(a.newest.Load()) }

func (a *audience) popularCity() string { return a.cities[a.city.Uint64()] }

func pick[T any](a *audience, from []T) T { return from[a.random.IntN(len(from))] }

// page is what the next reader wants to see.
func (a *audience) page() page {
	switch n := a.random.IntN(100); {
	case n < 52:
		return detail("/api", a.popularListing())
	case n < 54: // around the end of the table: rows just inserted, and rows to come, whose 404 an insert ends
		return detail("/api", a.newest.Load()-4+a.random.Int64N(8))
	case n < 80:
		return a.list("/api")
	case n < 91:
		return detail("", a.popularListing())
	case n < 99:
		return a.list("")
	default:
		return page{target: "/"}
	}
}

// detail is a listing's page under prefix: "/api" or, for HTML, nothing.
func detail(prefix string, id int64) page {
	return page{target: prefix + "/listings/" + strconv.FormatInt(id, 10), id: id}
}

// list is a list page with some of the filters set.
func (a *audience) list(prefix string) page {
	p := page{target: prefix + "/listings"}
	query := url.Values{}
	if a.random.IntN(10) > 0 {
		p.city = a.popularCity()
		query.Set("city", p.city)
	}
	if a.random.IntN(4) == 0 {
		query.Set("type", pick(a, a.types))
	}
	if a.random.IntN(5) == 0 {
		low := a.random.IntN(len(a.minPrice))
		query.Set("min_price", strconv.Itoa(a.minPrice[low]))
		if rest := a.minPrice[low+1:]; len(rest) > 0 && a.random.IntN(2) == 0 {
			query.Set("max_price", strconv.Itoa(pick(a, rest)))
		}
	}
	if a.random.IntN(20) == 0 {
		query.Set("bedrooms", strconv.Itoa(1+a.random.IntN(4)))
	}
	if a.random.IntN(20) == 0 {
		query.Set("sort", pick(a, []string{"price_asc", "price_desc"}))
	}
	if n := a.pageNo.Uint64(); n > 0 {
		query.Set("page", strconv.FormatUint(n+1, 10))
	}
	if prefix == "" && a.random.IntN(5) == 0 { // as the search form sends it: what isn't filled in is there, and empty
		for _, name := range []string{"city", "type", "bedrooms", "min_price", "max_price"} {
			if !query.Has(name) {
				query.Set(name, "")
			}
		}
	}
	if len(query) > 0 {
		p.target += "?" + query.Encode()
	}
	return p
}

// watched are pages that many look at: the first ones of every city, of every type and of all, for the last check.
func (a *audience) watched() []page {
	pages := []page{{target: "/"}, {target: "/listings"}, {target: "/api/listings"}}
	for _, city := range a.cities {
		query := "?city=" + url.QueryEscape(city)
		pages = append(pages, page{target: "/api/listings" + query, city: city}, page{target: "/listings" + query, city: city})
	}
	for _, kind := range a.types {
		pages = append(pages, page{target: "/api/listings?type=" + url.QueryEscape(kind)})
	}
	return slices.Clip(pages)
}
