package redistier

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
)

// How much of Redis the responses take can't be asked: a walk over the keys
// (SCAN) costs the server more than the answer is worth, and what has expired
// or was dropped since it was written nobody counts by prefix. What the
// servers say of themselves is cheap and exact, but it is all that they hold:
// other namespaces, the relay, results of queries. So that is what is shown,
// under that name, beside what this process has written.

const (
	lookEvery = 10 * time.Second // between two looks at the servers
	Old       = 3 * lookEvery    // what is older isn't shown
)

// Server is what one server says of itself.
type Server struct {
	Node        string `json:"node"` // its address
	UsedBytes   int64  `json:"used_bytes"`
	LimitBytes  int64  `json:"limit_bytes"`  // 0: none
	Policy      string `json:"policy"`       // what it does at the limit
	Keys        int64  `json:"keys"`         // of the database
	EvictedKeys int64  `json:"evicted_keys"` // dropped for want of memory since its start
}

// servers is what all of them have said at one time.
type servers struct {
	asked time.Time
	list  []Server // by node
	err   error    // then there is no list
}

// watchServers asks the servers now and then until ctx ends.
func (t *Tier) watchServers(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		t.AskServers(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// AgeServers has what the servers have said be older by d.
func (t *Tier) AgeServers(d time.Duration) {
	s := *t.servers.Load()
	s.asked = s.asked.Add(-d)
	t.servers.Store(&s)
}

// ServersFault is why the servers have said nothing, if they haven't.
func (t *Tier) ServersFault() error {
	if s := t.servers.Load(); s != nil {
		return s.err
	}
	return nil
}

// Reachable tells whether Redis has answered lately.
func (t *Tier) Reachable() bool { return t.gate.Reachable() }

// AskServers asks every server that holds responses how large it is. That it
// doesn't say is no failure of the tier: a user may lack the right to ask.
func (t *Tier) AskServers(ctx context.Context) {
	if !t.gate.Reachable() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 2*Wait)
	defer cancel()
	s := &servers{asked: time.Now()}
	switch client := t.client.(type) {
	case *redis.ClusterClient:
		var mu sync.Mutex
		s.err = client.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
			one, err := askServer(ctx, node, node.Options().Addr)
			mu.Lock()
			defer mu.Unlock()
			s.list = append(s.list, one)
			return err
		})
	case *redis.Client:
		name := client.Options().Addr
		if name == "FailoverClient" { // the library's name for whatever the sentinels say
			name = "master"
		}
		var one Server
		one, s.err = askServer(ctx, client, name)
		s.list = []Server{one}
	}
	if s.err != nil {
		s.list = nil
		t.log.Debug("Redis doesn't say how large it is", "error", s.err)
	}
	slices.SortFunc(s.list, func(a, b Server) int { return cmp.Compare(a.Node, b.Node) })
	t.servers.Store(s)
}

func askServer(ctx context.Context, client *redis.Client, node string) (Server, error) {
	var memory, stats *redis.InfoCmd
	var keys *redis.IntCmd
	_, err := client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		memory, stats, keys = pipe.InfoMap(ctx, "memory"), pipe.InfoMap(ctx, "stats"), pipe.DBSize(ctx)
		return nil
	})
	if err != nil {
		return Server{}, err
	}
	number := func(info *redis.InfoCmd, section, name string) int64 {
		n, _ := strconv.ParseInt(info.Item(section, name), 10, 64)
		return n
	}
	return Server{
		Node:      node,
		UsedBytes: number(memory, "Memory", "used_memory"), LimitBytes: number(memory, "Memory", "maxmemory"),
		Policy: memory.Item("Memory", "maxmemory_policy"), Keys: keys.Val(), EvictedKeys: number(stats, "Stats", "evicted_keys"),
	}, nil
}

// known is what the servers have said lately; nil if nothing.
func (t *Tier) known() []Server {
	s := t.servers.Load()
	if s == nil || time.Since(s.asked) > Old {
		return nil
	}
	return s.list
}

// Status is the tier's part of /status.
func (t *Tier) Status() map[string]any {
	s := map[string]any{
		"reachable": t.gate.Reachable(), "queued_bytes": t.queued.Load(),
		"written_bytes": t.written.bytes.Load(), "written_entries": t.written.entries.Load(),
	}
	if servers := t.known(); servers != nil {
		s["servers"] = servers
	}
	return s
}

// sizes exports what is known of the servers, and nothing where nothing
// is.
type sizes struct {
	tier                       *Tier
	used, limit, keys, evicted *prometheus.Desc
	written                    *prometheus.Desc
}

// NewSizes makes the collector of what the servers say.
func NewSizes(t *Tier) *sizes {
	of := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("walpurge_redis_server_"+name, help, []string{"node"}, nil)
	}
	return &sizes{
		tier:    t,
		used:    of("bytes", "Memory that a Redis server uses for all that it holds, as it says itself."),
		limit:   of("limit_bytes", "A Redis server's maxmemory; 0 is none."),
		keys:    of("keys", "Keys in the database of a Redis server, whoever has written them."),
		evicted: of("evicted_keys_total", "Keys that a Redis server has dropped for want of memory since its start."),
		written: prometheus.NewDesc("walpurge_redis_written_bytes_total", "Bytes of the responses that this process has written to the Redis tier.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (s *sizes) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{s.used, s.limit, s.keys, s.evicted, s.written} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (s *sizes) Collect(ch chan<- prometheus.Metric) {
	for _, one := range s.tier.known() {
		for _, m := range []struct {
			desc  *prometheus.Desc
			kind  prometheus.ValueType
			value int64
		}{
			{s.used, prometheus.GaugeValue, one.UsedBytes},
			{s.limit, prometheus.GaugeValue, one.LimitBytes},
			{s.keys, prometheus.GaugeValue, one.Keys},
			{s.evicted, prometheus.CounterValue, one.EvictedKeys},
		} {
			ch <- prometheus.MustNewConstMetric(m.desc, m.kind, float64(m.value), one.Node)
		}
	}
	ch <- prometheus.MustNewConstMetric(s.written, prometheus.CounterValue, float64(s.tier.written.bytes.Load()))
}
