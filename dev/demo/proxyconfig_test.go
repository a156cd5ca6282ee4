package main

import (
	"testing"

	"walpurge/config"
)

func parseProxyConfig(t *testing.T) *config.Config {
	t.Helper()
	text, err := endpoints{
		Listen: "127.0.0.1:18080", Admin: "127.0.0.1:18081", Origin: "http://127.0.0.1:19000",
		Postgres: "postgres://postgres@127.0.0.1:15432/listings?sslmode=disable", Redis: "redis://127.0.0.1:16379/0",
	}.proxyConfig()
	must(t, err)
	c, err := config.Parse("demo.yaml", []byte(text), environment())
	must(t, err)
	return c
}

func TestProxyConfigIsValid(t *testing.T) {
	c := parseProxyConfig(t)
	if c.Listen.String() != "127.0.0.1:18080" || c.Admin.String() != "127.0.0.1:18081" || c.Origin.String() != "http://127.0.0.1:19000" {
		t.Errorf("listen %s, admin %s, origin %s", c.Listen, c.Admin, c.Origin)
	}
	if c.MaxLag != maxLag {
		t.Errorf("max_lag %s, and the auditor allows %s", c.MaxLag, maxLag)
	}
	if c.Memory != memoryTier {
		t.Errorf("memory %d, and the summary takes it for %d", c.Memory, memoryTier)
	}
	if c.Postgres == nil || c.Redis == nil {
		t.Error("no PostgreSQL or no Redis")
	}
}

// TestProxyConfigCoversWhatReadersAskFor: every page of the audience belongs to a route that depends on listings.
func TestProxyConfigCoversWhatReadersAskFor(t *testing.T) {
	c := parseProxyConfig(t)
	covered := map[string]bool{}
	for _, r := range c.Routes {
		for _, d := range r.DependsOn {
			if d.Table.Name == "listings" {
				covered[r.Path] = true
			}
		}
	}
	for _, path := range []string{"/", "/listings", "/listings/{id}", "/api/listings", "/api/listings/{id}"} {
		if !covered[path] {
			t.Errorf("no route %s that depends on listings", path)
		}
	}
}
