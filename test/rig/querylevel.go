package rig

import (
	"cmp"
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"walpurge/internal/origin"
	"walpurge/internal/querycache/follow"
)

// QueryLevel is the origin's query cache in a rig.
type QueryLevel struct {
	cache    *follow.Cache
	registry *prometheus.Registry
}

// cacheQueries gives the origin a query cache that shares the proxies' slot and
// relay.
func (r *Rig) cacheQueries(store *origin.Store, o Options) {
	r.T.Helper()
	name := SlotName(r.DBURL)
	cache, err := follow.Open(r.T.Context(), follow.Config{
		DatabaseURL: cmp.Or(o.Listens, r.DBURL), RedisURL: o.Queries, Namespace: name, Slot: name, Publication: "walpurge",
		MaxLag: time.Second, Registry: store.Registry(), Logger: slog.New(slog.DiscardHandler),
	}, store.CachedTables())
	if err != nil {
		r.T.Fatal(err)
	}
	if err := store.Cache(cache.Cache); err != nil {
		r.T.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- cache.Run(ctx) }()
	r.T.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			r.T.Errorf("follow the log for the query cache: %v", err)
		}
		cache.Close()
	})
	r.Queries = &QueryLevel{cache, store.Registry()}
	r.Eventually("the query cache is proven fresh", cache.Proven)
}

// Results are the named queries by result.
func (q *QueryLevel) Results(t testing.TB) map[string]float64 {
	t.Helper()
	families, err := q.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]float64{}
	for _, f := range families {
		if f.GetName() != "origin_query_cache_requests_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "result" {
					sums[l.GetValue()] += m.GetCounter().GetValue()
				}
			}
		}
	}
	return sums
}
