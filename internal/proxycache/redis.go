package proxycache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"walpurge/internal/coherence"
	"walpurge/internal/proxycache/route"
	"walpurge/internal/proxycache/store"
	"walpurge/internal/redisclient"
	"walpurge/internal/rfc9111"
)

// redisTier keeps responses in Redis. A request waits for it for a moment at
// most, and for as long again if it has to wait for others; when it fails repeatedly it is left alone for a while. Writes go
// through a bounded queue.
type redisTier struct {
	client    redis.UniversalClient
	namespace string
	maxValue  int64
	log       *slog.Logger
	requests  *prometheus.CounterVec

	compress bool // as shown has it

	alone bool // each read is a command of its own: a cluster's nodes fail one by one
	reads redisReads

	queue   chan redisJob
	queued  atomic.Int64 // bytes
	written struct{ bytes, entries atomic.Uint64 }
	stop    context.CancelFunc
	running sync.WaitGroup

	gate    redisclient.Gate
	servers atomic.Pointer[redisServers] // nil until they were asked
}

// Bounds of the Redis tier.
const (
	redisWait    = 100 * time.Millisecond // for one batch of requests
	redisQueue   = 1024
	redisBytes   = 64 << 20 // in the queue
	redisBatch   = 64
	minRedisTime = time.Second // what lives shorter isn't worth the way
)

// redisJob is a value to be written, or a key to be removed.
type redisJob struct {
	key    string
	entry  *store.Entry
	names  []string // a marker
	ttl    time.Duration
	size   int64
	remove bool
}

func newRedisTier(o *Options, requests *prometheus.CounterVec) *redisTier {
	t := &redisTier{
		client: o.Redis.Client, namespace: o.Redis.Namespace, maxValue: o.MaxObject, log: o.Logger, requests: requests,
		queue: make(chan redisJob, redisQueue), compress: !o.NoCompress,
	}
	_, t.alone = o.Redis.Client.(*redis.ClusterClient)
	ctx, stop := context.WithCancel(context.Background())
	t.stop = stop
	t.running.Go(func() { t.writer(ctx) })
	t.running.Go(func() { t.watchServers(ctx) })
	return t
}

// RedisClient makes a client for the Redis tier from a URL, of which package
// redisclient knows the forms: one that gives up early, since a cache that is
// slower than its origin is none.
func RedisClient(url string) (redis.UniversalClient, error) {
	return redisclient.New(url, redisclient.Limits{Wait: redisWait, Retries: 1})
}

// name is the key's name in Redis. The braces make a cluster hash on the key
// alone.
func (t *redisTier) name(key string) string {
	sum := sha256.Sum256([]byte(key))
	return t.namespace + ":{" + hex.EncodeToString(sum[:16]) + "}"
}

// open tells whether Redis is to be asked.
func (t *redisTier) open(op string) bool {
	if t.gate.Open() {
		return true
	}
	t.count(op, "skipped")
	return false
}

func (t *redisTier) count(op, result string) { t.requests.WithLabelValues(op, result).Inc() }

// note counts a request's result and opens or closes the way to Redis.
func (t *redisTier) note(op string, err error) {
	switch {
	case err == nil:
		t.count(op, "ok")
	case errors.Is(err, redis.Nil):
		t.count(op, "absent")
	default:
		t.count(op, "error")
	}
	if t.gate.Note(err) {
		t.log.Warn("Redis left alone for a while", "op", op, "error", err)
	}
}

// entry makes the entry that s was.
func (s *stored) entry(m *store.Memory, rt *route.Route, now coherence.Nanos) *store.Entry {
	passed := max(0, time.Since(s.arrived))
	e := &store.Entry{
		Memory: m, Route: rt, Guarded: s.guarded, Shared: s.shared, Status: uint16(s.status),
		Received: now - coherence.Nanos(passed), Age: coherence.Nanos(s.age),
		StaleWhileRevalidate: store.LeewayOf(s.swr), StaleIfError: store.LeewayOf(s.sie), Packed: s.text, Body: s.body,
	}
	lifetime := s.lifetime
	if ttl := rt.TTL; ttl != nil && rfc9111.KeptByDefault(s.status) {
		lifetime = min(lifetime, *ttl) // it may have been stored under another configuration
	}
	e.Fresh = e.Received + coherence.Nanos(lifetime)
	if !m.Adopt(e, s.shown) {
		e.SetHead(e.Head())
		m.Finish(e)
	}
	return e
}

// write queues an entry, and the marker that leads to it if it varies.
func (t *redisTier) write(primary string, e *store.Entry, now coherence.Nanos) {
	ttl := time.Duration(e.Fresh - now)
	size := int64(len(e.Body) + len(e.Packed.S))
	if ttl < minRedisTime {
		return
	}
	if size > t.maxValue {
		t.count("set", "too-large")
		return
	}
	if e.Key() != primary {
		t.push(redisJob{key: primary, names: rfc9111.VaryNames(e.Header()), ttl: ttl, size: int64(len(primary))})
	}
	t.push(redisJob{key: e.Key(), entry: e, ttl: ttl, size: size})
}

// remove queues the removal of a key.
func (t *redisTier) remove(key string) { t.push(redisJob{key: key, remove: true}) }

// push drops what the queue has no room for.
func (t *redisTier) push(j redisJob) {
	if t.queued.Add(j.size) <= redisBytes {
		select {
		case t.queue <- j:
			return
		default:
		}
	}
	t.queued.Add(-j.size)
	t.count(j.op(), "dropped")
}

func (j *redisJob) op() string {
	if j.remove {
		return "del"
	}
	return "set"
}

// writer sends the queue to Redis in batches, in order.
func (t *redisTier) writer(ctx context.Context) {
	batch := make([]redisJob, 0, redisBatch)
	for {
		select {
		case <-ctx.Done():
			return
		case j := <-t.queue:
			batch = append(batch[:0], j)
		}
	more:
		for len(batch) < redisBatch {
			select {
			case j := <-t.queue:
				batch = append(batch, j)
			default:
				break more
			}
		}
		t.send(batch)
		clear(batch)
	}
}

func (t *redisTier) send(batch []redisJob) {
	for i := range batch {
		t.queued.Add(-batch[i].size)
	}
	if !t.open("set") {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*redisWait)
	defer cancel()
	sizes := make([]int, 0, len(batch)) // of the responses that are written, by command; 0 for the rest
	cmds, err := t.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i := range batch {
			if j := &batch[i]; j.remove {
				pipe.Unlink(ctx, t.name(j.key))
				sizes = append(sizes, 0)
			} else if v := t.value(j); v != nil {
				pipe.Set(ctx, t.name(j.key), v, j.ttl)
				if j.entry == nil {
					v = nil
				}
				sizes = append(sizes, len(v))
			}
		}
		return nil
	})
	if len(sizes) == 0 {
		return
	}
	for i, c := range cmds {
		op, result := "set", "ok"
		if c.Name() != op {
			op = "del"
		}
		if c.Err() != nil {
			result = "error"
		} else if sizes[i] > 0 {
			t.written.bytes.Add(uint64(sizes[i]))
			t.written.entries.Add(1)
		}
		t.count(op, result)
	}
	t.note("batch", err)
}

// value encodes what the job writes; nil if that is no longer worth it.
func (t *redisTier) value(j *redisJob) []byte {
	if j.entry == nil {
		return (&stored{text: store.Pack(j.key), names: j.names}).encode(nil)
	}
	e := j.entry
	if e.Guarded && !e.Handle.Live() {
		return nil
	}
	s := stored{
		text: e.Packed, status: int(e.Status), guarded: e.Guarded, shared: e.Shared, declares: e.Declares(), shown: e.Shown(t.compress),
		arrived: time.Now().Add(-time.Duration(e.Memory.Now() - e.Received)), age: time.Duration(e.Age), lifetime: time.Duration(e.Fresh - e.Received),
		swr: time.Duration(e.StaleWhileRevalidate.Nanos()), sie: time.Duration(e.StaleIfError.Nanos()), body: e.Body,
	}
	if e.Guarded {
		s.epoch, s.asof = e.Handle.Epoch(), e.Handle.Asof()
	}
	return s.encode(make([]byte, 0, len(e.Body)+len(e.Packed.S)+128))
}

// close stops writing. What is queued is lost: it is a cache.
func (t *redisTier) close() {
	t.stop()
	t.running.Wait()
}
