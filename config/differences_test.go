package config

import (
	"slices"
	"testing"
)

func TestDifferencesNameKeysAndSeeSecrets(t *testing.T) {
	before := mustParse(t, "origin: http://h\nadmin_token: aaaa\nmemory: 1GiB\nredis: { url: redis://:p@h }\nroutes: [{ path: /a }]\n")
	after := mustParse(t, "origin: http://h\nadmin_token: bbbb\nlisten: 127.0.0.1:1\nmax_lag: 2s\nmemory: 1024MiB\nredis: { url: redis://:q@h }\npostgres: { url: postgres://h/d }\n")
	want := []string{"admin_token", "listen", "postgres.publication", "postgres.slot", "postgres.url", "redis.url"}
	if got := before.Differences(after); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := before.Differences(before); got != nil {
		t.Errorf("a configuration differs from itself in %v", got)
	}
}
