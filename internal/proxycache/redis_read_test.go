package proxycache

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"

	"walpurge/dev/testbed"
)

// Who wants the same at the same time reads it once.
func TestRedisIsReadOnceForManyClients(t *testing.T) {
	r := newRig(t, withRedis(t, testbed.NewRedis(t).URL()))
	r.say("one")
	r.get("/api/listings/1")
	r.written(1)
	before := r.redisCount("get", "ok")
	r.forget()
	ctx := context.Background()
	if err := r.proxy.opt.Redis.Client.Do(ctx, "client", "pause", 40, "all").Err(); err != nil { // so that all of them come while it is read
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			resp, err := http.Get(r.url + "/api/listings/1")
			if err != nil {
				t.Error(err)
				return
			}
			_ = resp.Body.Close()
			if s := resp.Header.Get("Cache-Status"); !strings.HasPrefix(s, "walpurge; hit") {
				t.Error(s)
			}
		})
	}
	wg.Wait()
	if n := r.redisCount("get", "ok") - before; n != 1 || r.asked() != 1 {
		t.Errorf("Redis was read %v times, the origin asked %d times", n, r.asked())
	}
}

// A proof that ends while Redis takes its time is none.
func TestProofIsReadAfterRedis(t *testing.T) {
	r := newRig(t, withRedis(t, testbed.NewRedis(t).URL()))
	r.say("old")
	r.get("/api/listings/1")
	r.written(1)
	r.forget()
	r.say("new")
	if err := r.proxy.opt.Redis.Client.Do(context.Background(), "client", "pause", 60, "all").Err(); err != nil {
		t.Fatal(err)
	}
	got := make(chan string)
	go func() {
		resp, err := http.Get(r.url + "/api/listings/1")
		if err != nil {
			got <- err.Error()
			return
		}
		defer func() { _ = resp.Body.Close() }()
		got <- resp.Header.Get("Cache-Status")
	}()
	r.eventually("Redis is asked", func() bool { return r.proxy.redis.Asking() > 0 })
	r.guard.Unprove()
	if s := <-got; strings.HasPrefix(s, "walpurge; hit") {
		t.Error(s)
	}
}
