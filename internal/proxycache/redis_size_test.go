package proxycache

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"walpurge/dev/testbed"
	"walpurge/internal/proxycache/redistier"
)

// redisStatus is what /status says of Redis.
func (r *rig) redisStatus() (s struct {
	WrittenBytes   uint64 `json:"written_bytes"`
	WrittenEntries uint64 `json:"written_entries"`
	Servers        []redistier.Server
},
) {
	r.t.Helper()
	b, err := json.Marshal(r.proxy.Status()["redis"])
	if err != nil {
		r.t.Fatal(err)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		r.t.Fatal(err)
	}
	return s
}

// server asks the one server until it says what is expected. (The tier asks as well, at its start.)
func (r *rig) server(expected func(redistier.Server) bool) (one redistier.Server) {
	r.t.Helper()
	r.eventually("the server says its size", func() bool {
		r.proxy.redis.AskServers(r.t.Context())
		s := r.redisStatus().Servers
		if len(s) == 1 {
			one = s[0]
		}
		return len(s) == 1 && expected(one)
	})
	return one
}

// TestRedisSizeIsWhatTheServerSays: how much it uses and may use, how many keys it holds and has dropped, and
// beside it what this process has written: responses without the markers that lead to variants.
func TestRedisSizeIsWhatTheServerSays(t *testing.T) {
	server := testbed.NewRedis(t, "--maxmemory", "16mb", "--maxmemory-policy", "volatile-lru")
	r := newRig(t, withRedis(t, server.URL()))
	body := strings.Repeat("x", 100_000)
	r.say(body, "Vary: Accept-Language")
	r.get("/api/listings/1")
	r.written(2)
	r.eventually("what was written is counted", func() bool { return r.redisStatus().WrittenEntries == 1 })
	if n := r.redisStatus().WrittenBytes; n < 100_000 || n > 101_000 {
		t.Errorf("%d bytes written of a response of 100,000", n)
	}

	one := r.server(func(s redistier.Server) bool { return s.Keys == 2 })
	if one.Node != strings.TrimSuffix(strings.TrimPrefix(server.URL(), "redis://"), "/0") || one.LimitBytes != 16<<20 || one.Policy != "volatile-lru" ||
		one.UsedBytes < 100_000 || one.UsedBytes > 16<<20 || one.EvictedKeys != 0 {
		t.Errorf("%+v", one)
	}
	for name, want := range map[string]float64{"bytes": float64(one.UsedBytes), "limit_bytes": 16 << 20, "keys": 2} {
		if got := metricValue(t, r, "walpurge_redis_server_"+name); got != want {
			t.Errorf("walpurge_redis_server_%s %v, want %v", name, got, want)
		}
	}

	// More than it has room for.
	for i := range 300 {
		if err := r.proxy.opt.Redis.Client.Set(t.Context(), strings.Repeat("k", i+1), body, time.Hour).Err(); err != nil {
			t.Fatal(err)
		}
	}
	r.server(func(s redistier.Server) bool { return s.EvictedKeys > 100 && s.Keys+s.EvictedKeys == 302 })
}

// TestRedisThatSaysNothingHasNoSize: neither a server that may not be asked, nor one that was last asked long ago.
func TestRedisThatSaysNothingHasNoSize(t *testing.T) {
	server := testbed.NewRedis(t)
	r := newRig(t, withRedis(t, server.URL()))
	tier := r.proxy.redis
	r.server(func(s redistier.Server) bool { return s.UsedBytes > 0 })
	tier.AgeServers(redistier.Old + time.Second)
	if s := r.redisStatus().Servers; s != nil {
		t.Errorf("of old: %+v", s)
	}

	ctx := context.WithoutCancel(t.Context())
	if err := r.proxy.opt.Redis.Client.Do(ctx, "acl", "setuser", "default", "-info").Err(); err != nil {
		t.Fatal(err)
	}
	r.eventually("it is known that the server doesn't say", func() bool {
		tier.AskServers(ctx)
		return tier.ServersFault() != nil && r.redisStatus().Servers == nil
	})
	r.get("/api/listings/1")
	r.written(1)
	if !tier.Reachable() {
		t.Error("the tier is left alone for it")
	}
}
