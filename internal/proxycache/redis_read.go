package proxycache

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

// redisReads are the reads on their way and those that wait.
type redisReads struct {
	mu      sync.Mutex
	keys    map[string]*redisRead
	waiting []*redisRead
	led     bool // somebody is about to take waiting
	flying  int  // batches
}

// redisRead is one key's way.
type redisRead struct {
	name  string // in Redis
	value []byte
	err   error
	wake  chan bool // true: lead the next batch; false: value and err are there

	shared chan struct{} // closed when found is there; nil: nobody else waits
	found  *stored       // nil: there is nothing
	own    stored        // what found points at: one piece less
}

// join gives the read of key to the caller, who is the first and has to settle
// it, or waits until somebody else has done so.
func (r *redisReads) join(key string) (one *redisRead, first bool) {
	r.mu.Lock()
	one = r.keys[key]
	if one == nil {
		one = &redisRead{wake: make(chan bool, 1)}
		if r.keys == nil {
			r.keys = make(map[string]*redisRead)
		}
		r.keys[key] = one
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
func (r *redisReads) settle(key string, one *redisRead) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.keys, key)
	if one.shared != nil {
		close(one.shared)
	}
}

// read has own's value read. It waits for two batches at most, and for each as
// long as send takes.
func (r *redisReads) read(own *redisRead, send func([]*redisRead)) {
	r.mu.Lock()
	r.waiting = append(r.waiting, own)
	lead := !r.led && r.flying < maxReadBatches
	r.led = r.led || lead
	r.mu.Unlock()
	if !lead && !<-own.wake {
		return
	}
	runtime.Gosched() // whoever is about to read comes along
	r.mu.Lock()
	n := min(len(r.waiting), redisBatch)
	batch := r.waiting[:n:n]
	r.waiting = r.waiting[n:]
	r.led = false
	r.flying++
	r.handOver()
	r.mu.Unlock()
	send(batch)
	r.mu.Lock()
	r.flying--
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
func (r *redisReads) handOver() {
	if len(r.waiting) > 0 && !r.led && r.flying < maxReadBatches {
		r.led = true
		r.waiting[0].wake <- true
	}
}

// fetch reads a value.
func (t *redisTier) fetch(one *redisRead) {
	if !t.alone {
		t.reads.read(one, t.fetchAll)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), redisWait)
	defer cancel()
	one.value, one.err = t.client.Get(ctx, one.name).Bytes()
}

// fetchAll reads a batch.
func (t *redisTier) fetchAll(batch []*redisRead) {
	ctx, cancel := context.WithTimeout(context.Background(), redisWait)
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

// get reads and decodes a value, once for all who want it at the same time; nil
// is a miss. first tells that the caller is the one for whom it was read.
func (t *redisTier) get(key string) (s *stored, first bool) {
	if !t.open("get") {
		return nil, true
	}
	one, first := t.reads.join(key)
	if !first {
		return one.found, false
	}
	defer t.reads.settle(key, one)
	one.name = t.name(key)
	t.fetch(one)
	t.note("get", one.err)
	if one.err != nil {
		return nil, true
	}
	if !one.own.decode(one.value) || one.own.key() != key {
		t.count("get", "malformed")
		return nil, true
	}
	one.found = &one.own
	return one.found, true
}
