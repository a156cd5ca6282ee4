package config

import (
	"slices"
	"strings"
	"testing"
)

func TestDifferencesNameKeysAndSeeSecrets(t *testing.T) {
	before := mustParse(t, "origin: http://h\nadmin_token: aaaa\nmemory: 1GiB\nredis: { url: redis://:p@h }\nroutes: [{ path: /a }]\n")
	after := mustParse(t, "origin: http://h\nadmin_token: bbbb\nlisten: 127.0.0.1:1\nmax_lag: 2s\nmemory: 1024MiB\nredis: { url: redis://:q@h }\npostgres: { url: postgres://h/d }\n")
	want := []string{"admin_token", "listen", "postgres.publication", "postgres.read_ahead", "postgres.slot", "postgres.url", "redis.url"}
	if got := before.Differences(after); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	signed := "origin: http://h\npostgres: { url: postgres://h/d }\nposition: { cookie: at, secret: aaaaaaaaaaaaaaaa }\n"
	other := mustParse(t, strings.ReplaceAll(signed, "aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"))
	if got := mustParse(t, signed).Differences(other); !slices.Equal(got, []string{"position.secret"}) {
		t.Errorf("another secret: got %v", got)
	}
	watching := "origin: http://h\npostgres: { url: postgres://h/d, watch: [a, b] }\n"
	for _, list := range []string{"c, b", "a, c", "a", "'\"a.b\".b', b"} {
		if got := mustParse(t, watching).Differences(mustParse(t, strings.ReplaceAll(watching, "a, b", list))); !slices.Equal(got, []string{"postgres.watch"}) {
			t.Errorf("watching %s: got %v", list, got)
		}
	}
	if got := before.Differences(before); got != nil {
		t.Errorf("a configuration differs from itself in %v", got)
	}
}
