package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"walpurge/config"
)

func TestPagesOfThePrecisionPart(t *testing.T) {
	pages := precisionPages()
	if len(pages) != 76 {
		t.Errorf("%d pages, want 76", len(pages))
	}
	if unique := slices.Compact(slices.Sorted(slices.Values(pages))); len(unique) != len(pages) {
		t.Errorf("%d of %d pages are there twice", len(pages)-len(unique), len(pages))
	}
	html, lists := 0, 0
	for _, page := range pages {
		if !strings.HasPrefix(page, "/api/") {
			html++
		}
		if strings.Contains(page, "/listings?") {
			lists++
		}
	}
	if html < 20 || html > 56 || lists < 30 {
		t.Errorf("%d pages in HTML and %d lists with filters", html, lists)
	}
}

// A way to declare is a configuration that the proxy takes, with the routes that all have.
func TestConfigurationsOfThePrecisionPart(t *testing.T) {
	s, err := newSite(t.TempDir(), "127.0.0.1:9", "postgres://postgres@127.0.0.1:5432/listings?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	s.Redis = "redis://127.0.0.1:6379/0"
	for _, d := range declarations {
		text, err := d.configuration(s)
		if err != nil {
			t.Fatalf("%s: %v", d.name, err)
		}
		c, err := config.Parse(d.name, []byte(text), nil)
		if err != nil {
			t.Errorf("%s: %v", d.name, err)
			continue
		}
		if c.Listen.Address != s.Listen || c.Origin.Host != s.Origin || c.MaxLag != time.Minute {
			t.Errorf("%s: got %s", d.name, c)
		}
		for _, path := range []string{"/api/listings/{id}", "/listings/{id}", "/api/listings", "/listings", "/", "/api/agents/{id}", "/agents/{id}"} {
			if !slices.ContainsFunc(c.Routes, func(r config.Route) bool { return r.Path == path && len(r.DependsOn) > 0 }) {
				t.Errorf("%s: %s depends on nothing", d.name, path)
			}
		}
	}
}

// Changes are of every kind, and the same for the same seed.
func TestChangesAreOfEveryKind(t *testing.T) {
	changes := func(seed uint64) (list []string) {
		c := &changer{
			random: rand.New(rand.NewPCG(seed, 0)), ids: []int64{1, 2, 3, 4, 5}, agents: 9, cities: []string{"A", "B", "C", "D", "E"}, types: []string{"house", "shop"},
			oldest: time.Unix(0, 0), newest: time.Unix(1e6, 0),
		}
		for range 500 {
			change := c.next([]int64{3, 4})
			list = append(list, fmt.Sprint(change.what, change.sql, change.args))
		}
		return list
	}
	one := changes(1)
	if !slices.Equal(one, changes(1)) || slices.Equal(one, changes(2)) {
		t.Error("a seed doesn't decide which changes there are")
	}
	for _, want := range []string{
		"insert", "delete", "price and status", "agent's name", "agent's phone", "agent's email",
		"title", "description", "price", "price a little", "city", "property_type", "bedrooms", "status", "agent_id", "created_at", "updated_at",
	} {
		if n := len(slices.DeleteFunc(slices.Clone(one), func(c string) bool {
			return !strings.HasPrefix(c, want+"UPDATE") && !strings.HasPrefix(c, want+"INSERT") && !strings.HasPrefix(c, want+"DELETE")
		})); n < 5 {
			t.Errorf("%d changes of the kind %s", n, want)
		}
	}
}

// The finer the declarations, the fewer purges, and the fewer of them needless; and what a declaration leaves out is found.
func precisionIsMeasured(t *testing.T, st *stage) {
	const narrow = "titles alone"
	ways := append(slices.Clone(declarations), declaration{name: narrow, configuration: func(s site) (string, error) {
		text, err := routes("joins.yaml")(s)
		return strings.Replace(text, "&shown [title, price, city, property_type, bedrooms, status, agent_id, created_at]", "&shown [title]", 1), err
	}})
	r, p, err := comparePrecision(t.Context(), st, precisionSettings{seed: 3, changes: 40, listings: 1000, ways: ways})
	if p == nil {
		t.Fatal(err)
	}
	if r == nil || err == nil || strings.Count(err.Error(), narrow) == 0 || strings.Contains(err.Error(), "whole tables:") {
		t.Errorf("got %v; want the pages that a declaration of %s misses", err, narrow)
	}
	before := p.ways[0].purges
	if before.purged < 40*len(p.pages)/2 || before.share() < 0.8 {
		t.Errorf("whole tables: %+v", before)
	}
	for _, d := range p.ways {
		got := d.purges
		if d.name == narrow {
			if got.missed == 0 {
				t.Errorf("%s: %+v", d.name, got)
			}
			break
		}
		if got.missed != 0 || got.changed < 20 || got.purged-got.needless != got.changed {
			t.Errorf("%s: %+v; all that changed is purged, and nothing is missed", d.name, got)
		}
		if got.purged > before.purged && d.name != "as the demo has them" {
			t.Errorf("%s: %+v, more than what is coarser: %+v", d.name, got, before)
		}
		before = got
	}
}
