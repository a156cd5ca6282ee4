package proxycache

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"walpurge/dev/testbed"
)

// Whatever comes when: each read gets its own value, no batch is too large or
// one too many, and nobody waits while nothing is on its way.
func TestReadsOfRedisAreGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r redisReads
		var mu sync.Mutex
		var sizes []int
		flying, most := 0, 0
		let := make(chan struct{})
		send := func(batch []*redisRead) {
			mu.Lock()
			sizes = append(sizes, len(batch))
			flying++
			most = max(most, flying)
			mu.Unlock()
			<-let
			for _, one := range batch {
				if strings.HasSuffix(one.name, "7") {
					one.err = errors.New(one.name)
				} else {
					one.value = []byte(one.name)
				}
			}
			mu.Lock()
			flying--
			mu.Unlock()
		}
		var wg sync.WaitGroup
		read := func(name string) {
			wg.Go(func() {
				one, first := r.join(name)
				if !first {
					t.Errorf("somebody else reads %s", name)
					return
				}
				defer r.settle(name, one)
				one.name = name
				r.read(one, send)
				value, err := one.value, one.err
				if strings.HasSuffix(name, "7") && (err == nil || err.Error() != name) || !strings.HasSuffix(name, "7") && string(value) != name {
					t.Errorf("%s got %q, %v", name, value, err)
				}
			})
		}
		const reads = 300
		for i := range reads {
			read(fmt.Sprint("k", i))
			if i < maxReadBatches {
				synctest.Wait()
				if len(sizes) != i+1 || sizes[i] != 1 {
					t.Fatalf("a read that found a way free was not sent at once: batches of %v", sizes)
				}
			}
		}
		synctest.Wait()
		if len(sizes) != maxReadBatches {
			t.Fatalf("%d batches on their way", len(sizes))
		}
		for flying > 0 {
			let <- struct{}{}
			synctest.Wait()
		}
		wg.Wait()
		total := 0
		for _, n := range sizes {
			total += n
			if n > redisBatch {
				t.Errorf("a batch of %d", n)
			}
		}
		if total != reads || most > maxReadBatches || len(sizes) > maxReadBatches+(reads+redisBatch-1)/redisBatch {
			t.Errorf("%d reads in batches of %v, %d at a time", total, sizes, most)
		}
	})
}

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
	reads := &r.proxy.redis.reads
	r.eventually("Redis is asked", func() bool {
		reads.mu.Lock()
		defer reads.mu.Unlock()
		return reads.flying > 0
	})
	r.guard.Unprove()
	if s := <-got; strings.HasPrefix(s, "walpurge; hit") {
		t.Error(s)
	}
}
