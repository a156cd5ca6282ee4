package redistier

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

// Tier keeps responses in Redis. A request waits for it for a moment at most,
// and for as long again if it has to wait for others; when it fails repeatedly
// it is left alone for a while. Writes go through a bounded queue. A nil one
// keeps nothing: Write, Remove and Close do nothing then.
type Tier struct {
	client    redis.UniversalClient
	namespace string
	maxValue  int64
	log       *slog.Logger
	requests  *prometheus.CounterVec

	compress bool // as shown has it

	alone bool // each read is a command of its own: a cluster's nodes fail one by one
	reads reads

	queue   chan job
	queued  atomic.Int64 // bytes
	written struct{ bytes, entries atomic.Uint64 }
	stop    context.CancelFunc
	running sync.WaitGroup

	gate    redisclient.Gate
	servers atomic.Pointer[servers] // nil until they were asked
}

// Bounds of the Redis tier.
const (
	Wait        = 100 * time.Millisecond // for one batch of requests
	queueLength = 1024
	queueBytes  = 64 << 20 // in the queue
	batchSize   = 64
	minLifetime = time.Second // what lives shorter isn't worth the way
)

// job is a value to be written, or a key to be removed.
type job struct {
	key    string
	entry  *store.Entry
	names  []string // a marker
	ttl    time.Duration
	size   int64
	remove bool
}

// Options is what the Redis tier is made with.
type Options struct {
	Client    redis.UniversalClient // nil: the memory tier alone; see NewClient. Close leaves it open
	Namespace string                // of the names in Redis; "walpurge"
}

// New makes a tier of values up to maxValue bytes; compress as the memory
// tier has it. requests counts by operation and result.
func New(o *Options, maxValue int64, compress bool, log *slog.Logger, requests *prometheus.CounterVec) *Tier {
	t := &Tier{
		client: o.Client, namespace: o.Namespace, maxValue: maxValue, log: log, requests: requests,
		queue: make(chan job, queueLength), compress: compress,
	}
	_, t.alone = o.Client.(*redis.ClusterClient)
	ctx, stop := context.WithCancel(context.Background())
	t.stop = stop
	t.running.Go(func() { t.writer(ctx) })
	t.running.Go(func() { t.watchServers(ctx) })
	return t
}

// NewClient makes a client for the Redis tier from a URL, of which package
// redisclient knows the forms: one that gives up early, since a cache that is
// slower than its origin is none.
func NewClient(url string) (redis.UniversalClient, error) {
	return redisclient.New(url, redisclient.Limits{Wait: Wait, Retries: 1})
}

// Name is the key's name in Redis. The braces make a cluster hash on the key
// alone.
func (t *Tier) Name(key string) string {
	sum := sha256.Sum256([]byte(key))
	return t.namespace + ":{" + hex.EncodeToString(sum[:16]) + "}"
}

// open tells whether Redis is to be asked.
func (t *Tier) open(op string) bool {
	if t.gate.Open() {
		return true
	}
	t.Count(op, "skipped")
	return false
}

// Count counts a request by its operation and its result.
func (t *Tier) Count(op, result string) { t.requests.WithLabelValues(op, result).Inc() }

// note counts a request's result and opens or closes the way to Redis.
func (t *Tier) note(op string, err error) {
	switch {
	case err == nil:
		t.Count(op, "ok")
	case errors.Is(err, redis.Nil):
		t.Count(op, "absent")
	default:
		t.Count(op, "error")
	}
	if t.gate.Note(err) {
		t.log.Warn("Redis left alone for a while", "op", op, "error", err)
	}
}

// Entry makes the entry that s was.
func (s *Record) Entry(m *store.Memory, rt *route.Route, now coherence.Nanos) *store.Entry {
	passed := max(0, time.Since(s.arrived))
	e := &store.Entry{
		Memory: m, Route: rt, Guarded: s.Guarded, Shared: s.shared, Status: uint16(s.status),
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

// Write queues an entry, and the marker that leads to it if it varies.
func (t *Tier) Write(primary string, e *store.Entry, now coherence.Nanos) {
	if t == nil {
		return
	}
	ttl := time.Duration(e.Fresh - now)
	size := int64(len(e.Body) + len(e.Packed.S))
	if ttl < minLifetime {
		return
	}
	if size > t.maxValue {
		t.Count("set", "too-large")
		return
	}
	if e.Key() != primary {
		t.push(job{key: primary, names: rfc9111.VaryNames(e.Header()), ttl: ttl, size: int64(len(primary))})
	}
	t.push(job{key: e.Key(), entry: e, ttl: ttl, size: size})
}

// Remove queues the removal of a key.
func (t *Tier) Remove(key string) {
	if t != nil {
		t.push(job{key: key, remove: true})
	}
}

// push drops what the queue has no room for.
func (t *Tier) push(j job) {
	if t.queued.Add(j.size) <= queueBytes {
		select {
		case t.queue <- j:
			return
		default:
		}
	}
	t.queued.Add(-j.size)
	t.Count(j.op(), "dropped")
}

func (j *job) op() string {
	if j.remove {
		return "del"
	}
	return "set"
}

// writer sends the queue to Redis in batches, in order.
func (t *Tier) writer(ctx context.Context) {
	batch := make([]job, 0, batchSize)
	for {
		select {
		case <-ctx.Done():
			return
		case j := <-t.queue:
			batch = append(batch[:0], j)
		}
	more:
		for len(batch) < batchSize {
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

func (t *Tier) send(batch []job) {
	for i := range batch {
		t.queued.Add(-batch[i].size)
	}
	if !t.open("set") {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*Wait)
	defer cancel()
	sizes := make([]int, 0, len(batch)) // of the responses that are written, by command; 0 for the rest
	cmds, err := t.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i := range batch {
			if j := &batch[i]; j.remove {
				pipe.Unlink(ctx, t.Name(j.key))
				sizes = append(sizes, 0)
			} else if v := t.value(j); v != nil {
				pipe.Set(ctx, t.Name(j.key), v, j.ttl)
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
		t.Count(op, result)
	}
	t.note("batch", err)
}

// value encodes what the job writes; nil if that is no longer worth it.
func (t *Tier) value(j *job) []byte {
	if j.entry == nil {
		return (&Record{text: store.Pack(j.key), Names: j.names}).encode(nil)
	}
	e := j.entry
	if e.Guarded && !e.Handle.Live() {
		return nil
	}
	s := Record{
		text: e.Packed, status: int(e.Status), Guarded: e.Guarded, shared: e.Shared, Declares: e.Declares(), shown: e.Shown(t.compress),
		arrived: time.Now().Add(-time.Duration(e.Memory.Now() - e.Received)), age: time.Duration(e.Age), lifetime: time.Duration(e.Fresh - e.Received),
		swr: time.Duration(e.StaleWhileRevalidate.Nanos()), sie: time.Duration(e.StaleIfError.Nanos()), body: e.Body,
	}
	if e.Guarded {
		s.Epoch, s.Asof = e.Handle.Epoch(), e.Handle.Asof()
	}
	return s.encode(make([]byte, 0, len(e.Body)+len(e.Packed.S)+128))
}

// Close stops writing. What is queued is lost: it is a cache.
func (t *Tier) Close() {
	if t == nil {
		return
	}
	t.stop()
	t.running.Wait()
}
