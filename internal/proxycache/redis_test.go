package proxycache

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/redis/go-redis/v9"

	"walpurge/dev/testbed"
	"walpurge/internal/proxycache/redistier"
)

// withRedis gives the rig a Redis tier at url with a namespace of the test's.
func withRedis(t testing.TB, url string) func(*rig, *Options) {
	return func(_ *rig, o *Options) {
		client, err := redistier.NewClient(url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = client.Close() })
		o.Redis.Client, o.Redis.Namespace = client, fmt.Sprintf("%s-%d", strings.ReplaceAll(t.Name(), "/", "-"), time.Now().UnixNano())
	}
}

func (r *rig) redisCount(op, result string) float64 {
	var m dto.Metric
	if err := r.proxy.metrics.redis.WithLabelValues(op, result).Write(&m); err != nil {
		r.t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

// forget empties the memory tier, as a restart in the same epoch would.
func (r *rig) forget() {
	r.proxy.memory.Empty()
}

func (r *rig) written(n float64) {
	r.t.Helper()
	r.eventually("Redis has it", func() bool { return r.redisCount("set", "ok") >= n })
}

func TestRedisAnswersWhatMemoryForgot(t *testing.T) {
	r := newRig(t, withRedis(t, testbed.SharedRedis(t)))
	r.say("one", `Etag: "x"`)
	r.get("/api/listings/1")
	r.written(1)
	r.forget()
	got := r.get("/api/listings/1")
	r.want(got, "one", "walpurge; hit; ttl=3")
	if !strings.HasSuffix(got.cacheStatus(), "; detail=redis") || got.Header.Get("Etag") != `"x"` {
		t.Fatal(got.Header)
	}
	got = r.get("/api/listings/1")
	r.want(got, "one", "walpurge; hit")
	if strings.Contains(got.cacheStatus(), "redis") || r.asked() != 1 {
		t.Fatal(got.cacheStatus(), r.asked())
	}
}

func TestEveryKeyInRedisExpires(t *testing.T) {
	r := newRig(t, withRedis(t, testbed.SharedRedis(t)))
	r.say("one", "Vary: Accept-Language", "Cache-Control: max-age=60")
	r.get("/api/listings/1")
	r.get("/plain/1")
	r.written(4)
	ctx := context.Background()
	keys, err := r.proxy.opt.Redis.Client.Keys(ctx, r.proxy.opt.Redis.Namespace+":*").Result()
	if err != nil || len(keys) != 4 {
		t.Fatal(keys, err)
	}
	for _, k := range keys {
		if ttl := r.proxy.opt.Redis.Client.TTL(ctx, k).Val(); ttl <= 0 || ttl > time.Minute {
			t.Errorf("%s lives for %s", k, ttl)
		}
	}
}

// What lies in Redis is used only if no fence is above its asof and its epoch
// is the guard's (R3), whether it goes on into the memory tier or not.
func TestRedisResponseOlderThanAChangeIsNotUsed(t *testing.T) {
	for name, change := range map[string]func(*rig){
		"settled change": func(r *rig) { r.commit(&row{"1", "Lagos", "1"}, &row{"1", "Lagos", "2"}) },
		"new epoch":      func(r *rig) { r.guard.Reset(8, r.lsn); r.prove() },
		"no proof":       func(r *rig) { r.guard.Unprove() },
	} {
		for _, crowded := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, crowded %t", name, crowded), func(t *testing.T) {
				r := newRig(t, withRedis(t, testbed.SharedRedis(t)))
				r.say("old")
				r.get("/api/listings/1")
				r.get("/api/listings/2")
				r.written(2)
				r.forget()
				r.crowd(crowded)
				change(r)
				r.say("new")
				if name == "no proof" {
					r.want(r.get("/api/listings/1"), "new", "walpurge; fwd=bypass")
					return
				}
				r.want(r.get("/api/listings/1"), "new", "walpurge; fwd=uri-miss; fwd-status=200; stored")
				if r.redisCount("get", "stale") != 1 {
					t.Error("not counted")
				}
				if name == "settled change" {
					r.want(r.get("/api/listings/2"), "old", "walpurge; hit")
				}
			})
		}
	}
}

// crowd has the memory tier taken for full, or for one with room, from now on.
func (r *rig) crowd(full bool) {
	r.proxy.memory.Crowd(full)
}

// A full memory tier takes what comes from Redis when it comes again.
func TestFullMemoryTakesFromRedisWhatComesTwice(t *testing.T) {
	r := newRig(t, withRedis(t, testbed.SharedRedis(t)))
	r.say("one")
	r.get("/api/listings/1")
	r.written(1)
	r.forget()
	r.crowd(true)
	for i, want := range []string{"redis", "redis", ""} {
		got := r.get("/api/listings/1")
		r.want(got, "one", "walpurge; hit")
		if strings.HasSuffix(got.cacheStatus(), "; detail=redis") != (want == "redis") {
			t.Errorf("request %d: %s", i+1, got.cacheStatus())
		}
		if open, held := r.guard.Handles(), r.proxy.memory.Entries(); open != held || held != min(i, 1) {
			t.Errorf("request %d: %d responses are held, %d handles are open", i+1, held, open)
		}
	}
	if r.asked() != 1 {
		t.Errorf("the origin was asked %d times", r.asked())
	}
	r.commit(&row{"1", "Lagos", "1"}, &row{"1", "Lagos", "2"})
	r.say("two")
	r.want(r.get("/api/listings/1"), "two", "walpurge; fwd=uri-miss")
}

// A response is stored with its head as the proxy that wrote it sends it. One
// with other settings sends its own.
func TestRedisResponseIsShownAsTheReaderShowsIt(t *testing.T) {
	body := strings.Repeat("text that shrinks. ", 200)
	kinds := map[string]func(*Options){
		"as it comes": func(*Options) {},
		"uncoded":     func(o *Options) { o.NoCompress = true },
		"kept": func(o *Options) {
			for i := range o.Routes {
				o.Routes[i].ClientKeeps = true
			}
		},
	}
	for writer, written := range kinds {
		for reader, read := range kinds {
			t.Run(writer+" read "+reader, func(t *testing.T) {
				redis := withRedis(t, testbed.SharedRedis(t))
				namespace := ""
				start := func(kind func(*Options)) *rig {
					r := newRig(t, func(r *rig, o *Options) {
						redis(r, o)
						if namespace == "" {
							namespace = o.Redis.Namespace
						}
						o.Redis.Namespace = namespace
						kind(o)
					})
					r.say(body, "Content-Type: text/plain", "Cache-Control: max-age=60", "Expires: 0", "Last-Modified: Fri, 27 Nov 2026 10:00:00 GMT")
					return r
				}
				w := start(written)
				w.get("/api/listings/1", "Host: a.test")
				w.written(1)
				r := start(read)
				for _, coding := range []string{"identity", "gzip"} {
					r.forget()
					fetched := r.get("/api/listings/1", "Host: a.test", "Accept-Encoding: "+coding)
					r.get("/api/listings/1", "Host: b.test", "Accept-Encoding: "+coding)
					own := r.get("/api/listings/1", "Host: b.test", "Accept-Encoding: "+coding)
					if !strings.HasSuffix(fetched.cacheStatus(), "; detail=redis") {
						t.Fatal(fetched.cacheStatus())
					}
					for _, h := range []http.Header{fetched.Header, own.Header} {
						h.Del("Cache-Status")
						h.Del("Age")
						h.Del("Date") // each origin's own
					}
					if !maps.EqualFunc(fetched.Header, own.Header, slices.Equal) || fetched.body != own.body {
						t.Errorf("%s: from Redis %v, its own %v", coding, fetched.Header, own.Header)
					}
				}
			})
		}
	}
}

func TestMalformedValueInRedisIsAMiss(t *testing.T) {
	r := newRig(t, withRedis(t, testbed.SharedRedis(t)))
	r.say("one")
	r.get("/api/listings/1")
	r.written(1)
	ctx := context.Background()
	c := r.proxy.opt.Redis.Client
	keys := c.Keys(ctx, r.proxy.opt.Redis.Namespace+":*").Val()
	good := c.Get(ctx, keys[0]).Val()
	for i, bad := range []string{"", "garbage", good[:len(good)-1], good[:40] + "X" + good[41:], good + "x"} {
		c.Set(ctx, keys[0], bad, time.Minute)
		r.forget()
		body := fmt.Sprint("fresh ", i)
		r.say(body)
		r.want(r.get("/api/listings/1"), body, "walpurge; fwd=uri-miss")
		r.written(float64(i) + 2)
	}
	// Nor is a good value under another key's name.
	r.forget()
	c.Set(ctx, r.proxy.redis.Name("http://"+strings.TrimPrefix(r.url, "http://")+"/api/listings/2"), good, time.Minute)
	r.say("two")
	r.want(r.get("/api/listings/2"), "two", "walpurge; fwd=uri-miss")
}

func TestRedisDownFailsNoRequest(t *testing.T) {
	server := testbed.NewRedis(t)
	r := newRig(t, withRedis(t, server.URL()))
	r.get("/api/listings/1")
	r.written(1)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		if got := r.get(fmt.Sprintf("/api/listings/%d", i)); got.body != "ok" {
			t.Fatal(got.Status)
		}
	}
	if r.redisCount("get", "error") == 0 || r.redisCount("get", "skipped") == 0 {
		t.Error("errors aren't counted")
	}
	if err := server.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	n := 1000
	before := r.redisCount("set", "ok")
	r.eventually("Redis is used again", func() bool {
		n++
		r.get(fmt.Sprintf("/api/listings/%d", n))
		return r.redisCount("set", "ok") > before
	})
}

func TestStalledRedisSlowsOnlyTheFirstRequests(t *testing.T) {
	server := testbed.NewRedis(t)
	r := newRig(t, withRedis(t, server.URL()))
	r.get("/api/listings/1")
	r.written(1)
	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Resume() }()
	r.want(r.get("/api/listings/1"), "ok", "walpurge; hit")
	for i := range 100 {
		start := time.Now()
		if got := r.get(fmt.Sprintf("/api/listings/%d", i+10)); got.body != "ok" {
			t.Fatal(got.Status)
		}
		if took := time.Since(start); took > 500*time.Millisecond {
			t.Fatalf("request %d took %s", i, took)
		}
		if r.redisCount("get", "skipped") > 20 {
			return
		}
	}
	t.Fatal("Redis is asked again and again")
}

func TestRFC9111Section4_4UnsafeRequestRemovesFromRedis(t *testing.T) {
	r := newRig(t, func(r *rig, o *Options) {
		plainHTTP(r, o)
		withRedis(t, testbed.SharedRedis(t))(r, o)
	})
	r.say("one", "Cache-Control: max-age=60")
	r.get("/a")
	r.written(1)
	r.do("POST", "/a", strings.NewReader("x"))
	r.eventually("it is removed", func() bool { return r.redisCount("del", "ok") == 1 })
	r.say("two", "Cache-Control: max-age=60")
	r.want(r.get("/a"), "two", "walpurge; fwd=uri-miss")
}

// A stored head has no room for directives that clients don't get, and without
// them a proxy that reads it from Redis would freshen it by others.
func TestRFC9213Section2_2WithOwnDirectivesOnlyMemoryHasIt(t *testing.T) {
	r := newRig(t, func(r *rig, o *Options) {
		plainHTTP(r, o)
		withRedis(t, testbed.SharedRedis(t))(r, o)
	})
	r.say("own", "Walpurge-Cache-Control: max-age=60", "Cache-Control: max-age=60")
	r.get("/own")
	r.want(r.get("/own"), "own", "walpurge; hit")
	r.say("other", "CDN-Cache-Control: max-age=60", "Cache-Control: max-age=60")
	r.get("/other")
	r.written(1) // jobs of one writer go in turn
	r.forget()
	r.want(r.get("/other"), "other", "walpurge; hit")
	r.say("again", "Walpurge-Cache-Control: max-age=60")
	r.want(r.get("/own"), "again", "walpurge; fwd=uri-miss")
	if n := r.redisCount("set", "ok"); n != 1 {
		t.Fatalf("Redis has taken %v responses", n)
	}
}

func TestVariantsAreFoundInRedis(t *testing.T) {
	r := newRig(t, withRedis(t, testbed.SharedRedis(t)))
	r.say("english", "Vary: Accept-Language")
	r.get("/api/listings/1", "Accept-Language: en")
	r.say("french", "Vary: Accept-Language")
	r.get("/api/listings/1", "Accept-Language: fr")
	r.written(4)
	r.forget()
	r.want(r.get("/api/listings/1", "Accept-Language: en"), "english", "walpurge; hit")
	r.want(r.get("/api/listings/1", "Accept-Language: fr"), "french", "walpurge; hit")
	r.say("german", "Vary: Accept-Language")
	r.want(r.get("/api/listings/1", "Accept-Language: de"), "german", "walpurge; fwd=vary-miss")
}

func TestRedisClientGivesUpEarly(t *testing.T) {
	c, err := redistier.NewClient("redis://127.0.0.1:1/0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	o := c.(*redis.Client).Options()
	if !o.ContextTimeoutEnabled || o.ReadTimeout > redistier.Wait || o.MaxRetries > 1 {
		t.Fatalf("%+v", o)
	}
	if _, err := redistier.NewClient("http://x"); err == nil {
		t.Fatal("a URL of another scheme")
	}
}
