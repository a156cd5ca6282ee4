package redistier

import (
	"context"
	"runtime"
	"sync"

	"github.com/redis/go-redis/v9"
)

// Reads of the Redis tier are gathered: those that come while a batch is on its
// way go together in the next, as one pipeline. A read alone is sent at once.
// Under load that takes most of what a command costs off each of them. Who
// wants a key that somebody else is about to read waits for the same value.

// maxReadBatches is how many batches of reads are on their way at a time.
const maxReadBatches = 4

// reads are the reads on their way and those that wait.
type reads struct {
	mu struct {
		sync.Mutex
		keys    map[string]*redisRead
		waiting []*redisRead
		led     bool // somebody is about to take waiting
		flying  int  // batches
	}
}

// redisRead is one key's way.
type redisRead struct {
	name  string // in Redis
	value []byte
	err   error
	wake  chan bool // true: lead the next batch; false: value and err are there

	shared chan struct{} // closed when found is there; nil: nobody else waits
	found  *Record       // nil: there is nothing
	own    Record        // what found points at: one piece less
}

// join gives the read of key to the caller, who is the first and has to settle
// it, or waits until somebody else has done so.
func (r *reads) join(key string) (one *redisRead, first bool) {
	r.mu.Lock()
	one = r.mu.keys[key]
	if one == nil {
		one = &redisRead{wake: make(chan bool, 1)}
		if r.mu.keys == nil {
			r.mu.keys = make(map[string]*redisRead)
		}
		r.mu.keys[key] = one
		r.mu.Unlock()
		return one, true
	}
	if one.shared == nil {
		one.shared = make(chan struct{})
	}
	r.mu.Unlock()
	<-one.shared
	return one, false
}

// settle ends the read of key.
func (r *reads) settle(key string, one *redisRead) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.mu.keys, key)
	if one.shared != nil {
		close(one.shared)
	}
}

// read has own's value read. It waits for two batches at most, and for each as
// long as send takes.
func (r *reads) read(own *redisRead, send func([]*redisRead)) {
	r.mu.Lock()
	r.mu.waiting = append(r.mu.waiting, own)
	lead := !r.mu.led && r.mu.flying < maxReadBatches
	r.mu.led = r.mu.led || lead
	r.mu.Unlock()
	if !lead && !<-own.wake {
		return
	}
	runtime.Gosched() // whoever is about to read comes along
	r.mu.Lock()
	n := min(len(r.mu.waiting), batchSize)
	batch := r.mu.waiting[:n:n]
	r.mu.waiting = r.mu.waiting[n:]
	r.mu.led = false
	r.mu.flying++
	r.handOver()
	r.mu.Unlock()
	send(batch)
	r.mu.Lock()
	r.mu.flying--
	r.handOver()
	r.mu.Unlock()
	for _, other := range batch {
		if other != own {
			other.wake <- false
		}
	}
}

// handOver has the first of those who wait lead the next batch, if there may
// be one. REQUIRES: r.mu held.
func (r *reads) handOver() {
	if len(r.mu.waiting) > 0 && !r.mu.led && r.mu.flying < maxReadBatches {
		r.mu.led = true
		r.mu.waiting[0].wake <- true
	}
}

// Asking is how many batches of reads are on their way.
func (t *Tier) Asking() int {
	t.reads.mu.Lock()
	defer t.reads.mu.Unlock()
	return t.reads.mu.flying
}

// fetch reads a value.
func (t *Tier) fetch(one *redisRead) {
	if !t.alone {
		t.reads.read(one, t.fetchAll)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), Wait)
	defer cancel()
	one.value, one.err = t.client.Get(ctx, one.name).Bytes()
}

// fetchAll reads a batch.
func (t *Tier) fetchAll(batch []*redisRead) {
	ctx, cancel := context.WithTimeout(context.Background(), Wait)
	defer cancel()
	pipe := t.client.Pipeline()
	cmds := make([]*redis.StringCmd, len(batch))
	for i, r := range batch {
		cmds[i] = pipe.Get(ctx, r.name)
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	for i, r := range batch {
		r.value, r.err = cmds[i].Bytes()
	}
}

// Get reads and decodes a value, once for all who want it at the same time; nil
// is a miss. first tells that the caller is the one for whom it was read.
func (t *Tier) Get(key string) (s *Record, first bool) {
	if !t.open("get") {
		return nil, true
	}
	one, first := t.reads.join(key)
	if !first {
		return one.found, false
	}
	defer t.reads.settle(key, one)
	one.name = t.Name(key)
	t.fetch(one)
	t.note("get", one.err)
	if one.err != nil {
		return nil, true
	}
	if !one.own.decode(one.value) || one.own.key() != key {
		t.Count("get", "malformed")
		return nil, true
	}
	one.found = &one.own
	return one.found, true
}
