package redistier

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// Whatever comes when: each read gets its own value, no batch is too large or
// one too many, and nobody waits while nothing is on its way.
func TestReadsOfRedisAreGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r reads
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
			if n > batchSize {
				t.Errorf("a batch of %d", n)
			}
		}
		if total != reads || most > maxReadBatches || len(sizes) > maxReadBatches+(reads+batchSize-1)/batchSize {
			t.Errorf("%d reads in batches of %v, %d at a time", total, sizes, most)
		}
	})
}
