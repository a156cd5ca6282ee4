package main

import (
	"fmt"
	"net/url"
	"strconv"
)

// precisionPages are pages of the listings service as visitors of a few cities ask for them: lists by every filter and
// order, first pages and later ones, full and not, details, agents and counts, in JSON and in HTML.
func precisionPages() []string {
	list := func(pairs ...string) string {
		query := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			query.Set(pairs[i], pairs[i+1])
		}
		if len(query) == 0 {
			return "/listings"
		}
		return "/listings?" + query.Encode()
	}
	pages := []string{
		"/", "/api/cities", list(), list("type", "house"), list("sort", "price_asc"),
		"/api" + list(), "/api" + list("page", "2"), "/api" + list("sort", "price_asc"), "/api" + list("sort", "price_desc"), "/api" + list("type", "Villa"),
		"/api" + list("bedrooms", "3"), "/api" + list("page_size", "100"), "/api" + list("min_price", "100000", "max_price", "250000"),
		"/api" + list("min_price", "1000000", "sort", "price_asc"),
	}
	cities := []string{"Lagos", "London", "São Paulo", "Nairobi", "Zürich"}
	for _, city := range cities {
		pages = append(pages, "/api"+list("city", city), list("city", city))
	}
	for _, city := range cities[:3] {
		pages = append(pages,
			"/api"+list("city", city, "page", "2"),
			"/api"+list("city", city, "type", "apartment"),
			"/api"+list("city", city, "sort", "price_asc"),
			"/api"+list("city", city, "sort", "price_desc", "page_size", "5"),
			"/api"+list("city", city, "min_price", "100000", "max_price", "400000"),
			list("city", city, "sort", "price_desc", "page", "2"),
		)
	}
	pages = append(pages, // not full, most of them
		"/api"+list("city", "Zürich", "bedrooms", "1"), "/api"+list("city", "Reykjavík", "type", "villa"), list("city", "Zürich", "type", "shop"),
		list("city", "Lagos", "type", "house", "bedrooms", "2"), "/api"+list("city", "Nairobi", "page", "4"),
	)
	for i := range 7 {
		id := strconv.Itoa(1 + 271*i)
		pages = append(pages, "/api/listings/"+id, "/listings/"+id)
	}
	for id := 1; id <= 6; id++ {
		pages = append(pages, fmt.Sprintf("/api/agents/%d", id), fmt.Sprintf("/agents/%d", id))
	}
	return append(pages, "/agents/1?page=2", "/agents/2?page=2", "/api/listings/999999")
}
