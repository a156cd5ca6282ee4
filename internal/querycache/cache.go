package querycache

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"reflect"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"walpurge/internal/coherence"
	"walpurge/internal/redisclient"
)

// Options are what a Cache is made of. All but Logger and the last three must
// be set.
type Options struct {
	Guard     *coherence.Guard
	Redis     redis.UniversalClient // one that gives up early, see RedisClient
	Namespace string                // every key begins with it
	Now       func() coherence.Nanos
	MaxLag    time.Duration // how old a proof of freshness may be
	Registry  prometheus.Registerer
	Logger    *slog.Logger // nil: nothing is logged

	TTL      time.Duration // of a key in Redis; 0: an hour
	MaxValue int           // bytes of a value in Redis; 0: 1 MiB
}

// Defaults and bounds.
const (
	defaultTTL      = time.Hour
	defaultMaxValue = 1 << 20
	redisWait       = 100 * time.Millisecond // for one command
)

// RedisClient makes a client for a Cache from a URL, of which package
// redisclient knows the forms.
func RedisClient(url string) (redis.UniversalClient, error) {
	return redisclient.New(url, redisclient.Limits{Wait: redisWait, Retries: 1})
}

// Cache keeps results in Redis. Its methods may be called from any goroutine.
type Cache struct {
	o        Options
	gate     redisclient.Gate
	requests *prometheus.CounterVec
	writes   *prometheus.CounterVec
}

// New makes a cache and registers its metrics.
func New(o Options) (*Cache, error) {
	if o.Guard == nil || o.Redis == nil || o.Namespace == "" || o.Now == nil || o.MaxLag <= 0 || o.Registry == nil {
		return nil, errors.New("make the query cache: an option is missing")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.TTL == 0 {
		o.TTL = defaultTTL
	}
	if o.MaxValue == 0 {
		o.MaxValue = defaultMaxValue
	}
	c := &Cache{o: o, requests: requestsTotal(), writes: writesTotal()}
	o.Registry.MustRegister(c.requests, c.writes)
	return c, nil
}

// Attach makes a function that answers q from the cache where it may, and loads
// it where it may not. With a nil cache it is q.Load.
func Attach[A, R any](c *Cache, q Query[A, R]) (func(context.Context, A) (R, error), error) {
	if c == nil {
		return q.Load, nil
	}
	t := &attached[A, R]{Query: q, cache: c, shape: shapeOf(reflect.TypeFor[R]())}
	t.flights.byKey = make(map[string]*flight[R])
	for i := range q.Depends {
		s, err := prepare(c.o.Guard, q.Depends[i])
		if err != nil {
			return nil, err
		}
		t.depends = append(t.depends, s)
	}
	for i := range q.Shows {
		s, err := prepare(c.o.Guard, q.Shows[i].source())
		if err != nil {
			return nil, err
		}
		t.shows = append(t.shows, s)
	}
	for _, r := range results {
		c.requests.WithLabelValues(q.Name, string(r))
	}
	return t.get, nil
}

// attached is a query with its cache.
type attached[A, R any] struct {
	Query[A, R]
	cache   *Cache
	shape   string
	depends []bound[A]      // of Query.Depends
	shows   []bound[string] // of Query.Shows
	flights flights[R]
}

// get answers from the cache, from somebody's load or with one of its own.
func (t *attached[A, R]) get(ctx context.Context, arg A) (R, error) {
	need, key := needsOf(ctx), t.Name+"\x00"+t.shape+"\x00"+t.Key(arg)
	deps := t.dependencies(arg)
	value, result := t.find(ctx, key, deps, need)
	if result == hit {
		t.cache.count(t.Name, hit)
		return value, nil
	}
	load := func() (R, error) { return t.Load(ctx, arg) }
	if result == bypass || result == unproven { // for itself alone, and not stored
		t.cache.count(t.Name, result)
		return load()
	}
	f, leader := t.flights.join(t.cache.o.Guard, key, need, deps)
	if !leader {
		select {
		case <-f.done:
			if f.err == nil && !f.overtaken {
				t.cache.count(t.Name, collapsed)
				return f.value, nil
			}
		case <-ctx.Done():
		}
		t.cache.count(t.Name, result)
		return load() // the leader's failure may be its own: its client is gone
	}
	t.cache.count(t.Name, result)
	defer t.flights.end(f)
	defer t.cache.o.Guard.Close(&f.handle)
	f.value, f.err = load()
	if f.err == nil {
		t.learn(f)
		t.keep(ctx, f, key)
	}
	return f.value, f.err
}

// dependencies are those that the argument tells.
func (t *attached[A, R]) dependencies(arg A) []coherence.Dependency {
	var deps []coherence.Dependency
	for i := range t.depends {
		deps = append(deps, t.depends[i].bind(t.cache.o.Guard, arg)...)
	}
	return deps
}

// shown are the dependencies that a result tells. Each value is bound by itself:
// of many at once the guard makes no condition.
func (t *attached[A, R]) shown(value R) []coherence.Dependency {
	var deps []coherence.Dependency
	for i := range t.shows {
		for _, v := range t.Shows[i].Values(value) {
			deps = append(deps, t.shows[i].bind(t.cache.o.Guard, v)...)
		}
	}
	return deps
}

// find looks for a stored result that may be used. The order is the proof: see
// the package comment.
func (t *attached[A, R]) find(ctx context.Context, key string, deps []coherence.Dependency, need needs) (value R, _ result) {
	c, g := t.cache, t.cache.o.Guard
	if need.now {
		return value, bypass
	}
	proven := g.Proven() // R6: before the fences
	if !c.fresh(proven) {
		return value, unproven
	}
	if !need.covered(g) { // before the fences, too
		return value, behind
	}
	s, r := c.read(ctx, key)
	if r != hit {
		return value, r
	}
	var zero R
	if err := json.Unmarshal(s.json, &value); err != nil {
		return zero, malformed
	}
	if !need.sameEpoch(s.epoch) || !g.Current(append(deps, t.shown(value)...), s.epoch, s.asof) { // R3
		return zero, outdated
	}
	if !c.fresh(proven) { // Redis took its time
		return zero, unproven
	}
	return value, hit
}

// fresh tells whether a proof is young enough (R6).
func (c *Cache) fresh(proven coherence.Nanos) bool {
	return proven != 0 && c.o.Now()-proven <= coherence.Nanos(c.o.MaxLag)
}

// read gets a value from Redis.
func (c *Cache) read(ctx context.Context, key string) (stored, result) {
	if !c.gate.Open() {
		return stored{}, skipped
	}
	ctx, cancel := context.WithTimeout(ctx, redisWait)
	defer cancel()
	b, err := c.o.Redis.Get(ctx, name(c.o.Namespace, key)).Bytes()
	c.note("get", err)
	switch {
	case errors.Is(err, redis.Nil):
		return stored{}, absent
	case err != nil:
		return stored{}, failed
	}
	if s, ok := decode(b); ok && s.key == key {
		return s, hit
	}
	return stored{}, malformed
}

// keep writes what a load has found if nothing has touched it meanwhile.
func (t *attached[A, R]) keep(ctx context.Context, f *flight[R], key string) {
	c, g := t.cache, t.cache.o.Guard
	s := stored{epoch: f.handle.Epoch(), asof: f.handle.Asof(), key: key} // R2: before the load
	if !g.Admit(&f.handle, nobody{}) {                                    // R3
		c.writes.WithLabelValues("changed").Inc()
		return
	}
	var err error
	if s.json, err = json.Marshal(f.value); err != nil {
		c.o.Logger.Error("result not cached", "query", t.Name, "error", err)
		return
	}
	if len(s.json)+len(key) > c.o.MaxValue {
		c.writes.WithLabelValues("too-large").Inc()
		return
	}
	if !c.gate.Open() {
		c.writes.WithLabelValues("skipped").Inc()
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), redisWait)
	defer cancel()
	err = c.o.Redis.Set(ctx, name(c.o.Namespace, key), s.encode(), c.o.TTL).Err()
	c.note("set", err)
	if err != nil {
		c.writes.WithLabelValues("failed").Inc()
		return
	}
	c.writes.WithLabelValues("ok").Inc()
}

func (c *Cache) note(op string, err error) {
	if c.gate.Note(err) {
		c.o.Logger.Warn("Redis left alone for a while", "op", op, "error", err)
	}
}
