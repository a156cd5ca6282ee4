package proxycache

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"walpurge/dev/testbed"
)

// Rows carry versions. A writer changes a row the way PostgreSQL does: its
// commit is decoded, then it becomes visible to readers of the origin, then
// that is found out. No response may be older than what was settled before
// its request was sent (G1), whatever the fills, tiers and flights do.
func TestNoResponseIsOlderThanWhatWasSettled(t *testing.T) {
	r := newRig(t, withRedis(t, testbed.SharedRedis(t)))
	const rows = 6
	var visible, settled [rows]atomic.Int64
	r.answer(func(w http.ResponseWriter, req *http.Request) {
		id, _ := strconv.Atoi(req.URL.Path[strings.LastIndexByte(req.URL.Path, '/')+1:])
		v := visible[id].Load()
		pause(rand.IntN(3000)) // the answer takes its time after the row was read
		_, _ = fmt.Fprint(w, v)
	})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for n := int64(1); ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			id := rand.IntN(rows)
			name := strconv.Itoa(id)
			r.decode(&row{name, "Lagos", "1"}, &row{name, "Lagos", "2"})
			pause(rand.IntN(1000))
			visible[id].Store(n)
			pause(rand.IntN(500))
			r.settle()
			settled[id].Store(n)
			if n%7 == 0 {
				r.forget() // what follows comes from Redis, if it may
			}
			pause(rand.IntN(6000))
		}
	}()
	var responses, hits atomic.Int64
	deadline := time.Now().Add(3 * time.Second)
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for time.Now().Before(deadline) {
				id := rand.IntN(rows)
				least := settled[id].Load()
				got, err := r.try("GET", fmt.Sprintf("/api/listings/%d", id), nil)
				if err != nil {
					t.Error(err)
					return
				}
				v, err := strconv.ParseInt(got.body, 10, 64)
				if err != nil || v < least {
					t.Errorf("row %d: version %q, and %d had been settled before (%s)", id, got.body, least, got.cacheStatus())
					return
				}
				responses.Add(1)
				if strings.Contains(got.cacheStatus(), "; hit") {
					hits.Add(1)
				}
			}
		}()
	}
	go func() {
		for time.Now().Before(deadline) {
			pause(1000)
		}
		close(stop)
	}()
	wg.Wait()
	t.Logf("%d responses, %d hits, 0 violations", responses.Load(), hits.Load())
	if hits.Load() == 0 || responses.Load() == hits.Load() {
		t.Fatal("the run shows nothing")
	}
}

// pause waits for some microseconds: it spreads what happens, nothing relies
// on it.
func pause(micros int) {
	<-time.After(time.Duration(micros) * time.Microsecond)
}
