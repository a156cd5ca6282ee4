package main

import (
	"io"
	"net/url"
	"strings"
	"testing"
)

func TestCoprimeStridesVisitEveryListing(t *testing.T) {
	for _, n := range []int64{1, 2, 10, 997, 1000, 2000} {
		stride, seen := coprime(n), map[int64]bool{}
		for i := range n {
			seen[i*stride%n] = true
		}
		if int64(len(seen)) != n {
			t.Errorf("%d of %d listings can be reached with stride %d", len(seen), n, stride)
		}
	}
}

// TestPagesSayWhatTheyDependOn: the ledger judges by id and city, so they have to be those in the address.
func TestPagesSayWhatTheyDependOn(t *testing.T) {
	c := &catalogue{cities: []string{"Lagos", "São Paulo", "Accra"}, types: []string{"house", "shop"}, agents: 10, listings: 1000}
	c.newest.Store(1000)
	a := newAudience(c, 1)
	details, lists := 0, 0
	for range 5000 {
		p := a.page()
		address, err := url.Parse(p.target)
		must(t, err)
		if city := address.Query().Get("city"); city != p.city {
			t.Fatalf("%s says city %q", p.target, p.city)
		}
		path := strings.TrimPrefix(address.Path, "/api")
		switch {
		case p.id != 0:
			details++
			if detail("", p.id).target != path {
				t.Fatalf("%s says listing %d", p.target, p.id)
			}
		case path == "/listings", path == "/":
			lists++
		default:
			t.Fatalf("what is %s?", p.target)
		}
	}
	if details == 0 || lists == 0 {
		t.Errorf("%d details and %d lists", details, lists)
	}
}

// TestAFewPagesGetMostRequests: without that there would be nothing to cache.
func TestAFewPagesGetMostRequests(t *testing.T) {
	c := &catalogue{cities: []string{"Lagos"}, types: []string{"house"}, agents: 10, listings: 100_000}
	a := newAudience(c, 1)
	counts := map[int64]int{}
	const n = 50_000
	for range n {
		counts[a.popularListing()]++
	}
	if len(counts) > n/2 || len(counts) < n/20 {
		t.Errorf("%d requests were for %d different listings", n, len(counts))
	}
}

// TestTheServiceKnowsEveryPage: all that readers ask for is there, or a listing that isn't.
func TestTheServiceKnowsEveryPage(t *testing.T) {
	database, service := listings(t)
	c, err := readCatalogue(t.Context(), connect(t, database))
	must(t, err)
	if c.listings != 2000 || c.agents != 20 || c.cities[0] != "Lagos" || len(c.types) != 8 {
		t.Fatalf("catalogue: %d listings, %d agents, %v, %v", c.listings, c.agents, c.cities, c.types)
	}
	a, client := newAudience(c, 1), newClient(1)
	pages := a.watched()
	for range 300 {
		pages = append(pages, a.page())
	}
	for _, p := range pages {
		got, err := client.get(t.Context(), service+p.target, io.Discard)
		must(t, err)
		if got.status != 200 && (got.status != 404 || p.id <= c.listings) {
			t.Errorf("GET %s: status %d", p.target, got.status)
		}
	}
}
