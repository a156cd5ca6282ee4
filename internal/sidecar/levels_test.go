package sidecar

import (
	"cmp"
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"walpurge/dev/testbed"
	"walpurge/internal/origin"
	"walpurge/internal/querycache/follow"
)

// queryLevel is the origin's query cache in a rig.
type queryLevel struct {
	cache    *follow.Cache
	registry *prometheus.Registry
}

// cacheQueries gives the origin a query cache that shares the proxies' slot and
// relay.
func (r *rig) cacheQueries(store *origin.Store, o rigOptions) {
	r.t.Helper()
	name := slotName(r.dbURL)
	cache, err := follow.Open(r.t.Context(), follow.Config{
		DatabaseURL: cmp.Or(o.listens, r.dbURL), RedisURL: o.queries, Namespace: name, Slot: name, Publication: "walpurge",
		MaxLag: time.Second, Registry: store.Registry(), Logger: slog.New(slog.DiscardHandler),
	}, store.CachedTables())
	if err != nil {
		r.t.Fatal(err)
	}
	if err := store.Cache(cache.Cache); err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- cache.Run(ctx) }()
	r.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			r.t.Errorf("follow the log for the query cache: %v", err)
		}
		cache.Close()
	})
	r.queries = &queryLevel{cache, store.Registry()}
	r.eventually("the query cache is proven fresh", cache.Proven)
}

// results are the named queries by result.
func (q *queryLevel) results(t testing.TB) map[string]float64 {
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

// TestOracleQueryCache holds what the origin serves from its query cache, with
// no proxy before it, against the oracle.
func TestOracleQueryCache(t *testing.T) { oracleOfQueries(t, 20*time.Second, false) }

// TestOracleAgentsInResults does so with changes of what results show by a join: the names of the
// listings' agents.
func TestOracleAgentsInResults(t *testing.T) { oracleOfQueries(t, 10*time.Second, true) }

func oracleOfQueries(t *testing.T, duration time.Duration, agents bool) {
	duration, least := trialOf(duration, 5000)
	redisURL := testbed.SharedRedis(t)
	r := newRig(t, rigOptions{redis: redisURL, queries: redisURL, away: true})
	r.url = r.origin.URL
	tr := newTrial(r, members(r), crew{plain: oracleReaders})
	if agents {
		tr.nameAgents()
	}
	tr.run(duration, least)
	results := r.queries.results(t)
	testbed.Measured(t, "queries by result: %v", results)
	if results["outdated"] == 0 {
		t.Errorf("the test needs results that have ended: %v", results)
	}
	tr.hits.Store(int64(results["hit"]))
	tr.judge(0.2)
}

// TestOracleTwoLevels holds what is shown against it with two proxies before an origin with a query
// cache, and readers of every kind. The origin hears of every change after the
// proxies: what it would show on its own is older than what they have purged.
func TestOracleTwoLevels(t *testing.T) {
	duration, least := trialOf(30*time.Second, 5000)
	redisURL := testbed.SharedRedis(t)
	far, farURL := newCable(t, redisURL)
	// The proxy leads, for it is there first: the origin follows from afar.
	r := newRig(t, rigOptions{redis: redisURL, proxies: 2, routes: oracleRoutes, queries: farURL})
	far.slow(5*time.Millisecond, 2*time.Millisecond)
	tr := newTrial(r, members(append([]*rig{r}, r.peers...)...), mixedCrew)
	tr.leastHits = 30
	tr.run(duration, least)
	results := r.queries.results(t)
	testbed.Measured(t, "queries by result: %v", results)
	if results["hit"] == 0 || results["behind"] == 0 {
		t.Errorf("the test needs hits, and queries that must not be: %v", results)
	}
	tr.judge(0.2)
	tr.judgeHistories()
}

// TestOracleTwoLevelsThroughFaults brings about the faults that take most away while proxies and the query cache
// behind them are at work, in one relay and on one slot. A fault is over when both levels serve hits again.
func TestOracleTwoLevelsThroughFaults(t *testing.T) {
	f := newFaults(t, faultsOptions{proxies: 2, queries: true})
	f.leastHits = 5
	f.start()
	for _, each := range everyFault {
		switch each.name {
		case "leader killed and started again", "Redis killed and restarted empty", "primary restarted (immediate)":
			f.suffer(each)
		}
	}
	f.stop()
	if len(f.outcomes) != 3 {
		t.Errorf("%d faults, want 3", len(f.outcomes))
	}
	results := f.queries.results(t)
	testbed.Measured(t, "queries by result: %v", results)
	if results["hit"] == 0 || results["unproven"] == 0 {
		t.Errorf("the test needs hits, and queries without a proof: %v", results)
	}
	f.judge(0.05)
	f.judgeHistories()
	f.report()
}
