package proxycache

import (
	"context"
	"runtime"
	"sync"

	"github.com/redis/go-redis/v9"

	"walpurge/internal/coherence"
	"walpurge/internal/proxycache/rfc9111"
)

// Reads of the Redis tier are gathered: those that come while a batch is on its
// way go together in the next, as one pipeline. A read alone is sent at once.
// Under load that takes most of what a command costs off each of them.
//
// Who reads a key holds a claim on it, so that others don't read it too: they
// wait and look into the memory tier again.

// maxReadBatches is how many batches of reads are on their way at a time.
const maxReadBatches = 4

// redisReads are the reads on their way and those that wait.
type redisReads struct {
	mu      sync.Mutex
	claims  map[string]chan struct{} // closed when the key has been read
	waiting []*redisRead
	led     bool // somebody is about to take waiting
	flying  int  // batches
}

// redisRead is one key's way.
type redisRead struct {
	name  string
	value []byte
	err   error
	wake  chan bool // true: lead the next batch; false: value and err are there
}

// claim makes the caller the one who reads key, until it calls release.
// Otherwise somebody else does, and wait is closed when it has.
func (r *redisReads) claim(key string) (wait <-chan struct{}, mine bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if other, ok := r.claims[key]; ok {
		return other, false
	}
	if r.claims == nil {
		r.claims = make(map[string]chan struct{})
	}
	r.claims[key] = make(chan struct{})
	return nil, true
}

func (r *redisReads) release(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.claims[key])
	delete(r.claims, key)
}

// read reads the value under a name. It waits for two batches at most, and for
// each as long as send takes.
func (r *redisReads) read(name string, send func([]*redisRead)) ([]byte, error) {
	own := &redisRead{name: name, wake: make(chan bool, 1)}
	r.mu.Lock()
	r.waiting = append(r.waiting, own)
	lead := !r.led && r.flying < maxReadBatches
	r.led = r.led || lead
	r.mu.Unlock()
	if !lead && !<-own.wake {
		return own.value, own.err
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
	return own.value, own.err
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
func (t *redisTier) fetch(name string) ([]byte, error) {
	if t.alone {
		ctx, cancel := context.WithTimeout(context.Background(), redisWait)
		defer cancel()
		return t.client.Get(ctx, name).Bytes()
	}
	return t.reads.read(name, t.fetchAll)
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

// get reads and decodes a value; nil is a miss.
func (t *redisTier) get(key string) *stored {
	if !t.open("get") {
		return nil
	}
	b, err := t.fetch(t.name(key))
	t.note("get", err)
	if err != nil {
		return nil
	}
	s, err := decodeStored(b)
	if err != nil || s.key != key {
		t.count("get", "malformed")
		return nil
	}
	return s
}

// fromRedis answers with what the Redis tier has. again means that somebody
// else has just looked there for the same.
func (x *exchange) fromRedis() (answered, again bool) {
	reads := &x.p.redis.reads
	wait, mine := reads.claim(x.key)
	if !mine {
		<-wait
		return false, true
	}
	e := func() *entry {
		defer reads.release(x.key)
		return x.readRedis()
	}()
	if e == nil {
		return false, false
	}
	now := x.p.opt.Now()
	cs := rfc9111.CacheStatus{Hit: true, TTL: e.ttlAt(now), Detail: "redis"}
	x.p.sendEntry(x.Exchange, e, now, cs)
	x.done(hit, cs.Detail)
	return true, false
}

// readRedis finds the request's response in the Redis tier and puts it into
// the memory tier. It is used only if the guard says so (R3).
func (x *exchange) readRedis() *entry {
	p := x.p
	s := p.redis.get(x.key)
	if s != nil && s.names != nil {
		s = p.redis.get(string(rfc9111.AppendVariant([]byte(x.key), s.names, x.Request)))
	}
	if s == nil || s.names != nil || s.guarded != x.route.guarded {
		return nil
	}
	now := p.opt.Now()
	e := s.entry(p, x.route, now)
	if e.fresh <= now {
		return nil
	}
	if e.guarded {
		proven := p.opt.Guard.Proven() // C1
		deps, ok := x.storedDeps(e)
		if !ok || !p.opt.Guard.OpenStored(&e.handle, e, deps, s.epoch, s.asof) {
			p.redis.count("get", "stale")
			return nil
		}
		if !e.usable(now, proven) {
			p.opt.Guard.Close(&e.handle)
			return nil
		}
	}
	p.store(x.key, e)
	return e
}

// storedDeps are the dependencies of a response from the Redis tier: those of
// its route, and those that it declares itself.
func (x *exchange) storedDeps(e *entry) (deps []coherence.Dependency, ok bool) {
	subject := x.subject()
	deps = x.route.bind(x.p.opt.Guard, subject)
	if !x.route.late && !x.route.Declared && e.field("Cache-Groups") == "" && e.field(dependsOnField) == "" {
		return deps, true // the commonest case
	}
	h := e.header()
	said, ok := x.p.declared(x.route, h)
	deps = append(deps, said...)
	if x.route.late {
		subject.body = readDocument(h, e.body)
		deps = append(deps, x.route.bindLate(x.p.opt.Guard, subject)...)
	}
	return deps, ok
}
