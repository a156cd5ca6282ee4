package querycache

import "github.com/prometheus/client_golang/prometheus"

// result is how a query was answered, and why not from the cache.
type result string

const (
	hit       result = "hit"
	collapsed result = "collapsed" // from another's load
	absent    result = "miss"      // nothing is stored
	outdated  result = "outdated"  // what is stored may be older than a change (R3)
	behind    result = "behind"    // the guard hasn't applied what the request needs
	unproven  result = "unproven"  // freshness isn't proven (R6)
	bypass    result = "bypass"    // the request wants the database
	skipped   result = "skipped"   // Redis is left alone for a while
	failed    result = "failed"    // Redis didn't answer
	malformed result = "malformed" // what it answered is no result
)

// results are all of them. All but hit and collapsed reach the database.
var results = []result{hit, collapsed, absent, outdated, behind, unproven, bypass, skipped, failed, malformed}

func requestsTotal() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "origin_query_cache_requests_total",
		Help: "Named queries by result. All but hit and collapsed reached PostgreSQL.",
	}, []string{"query", "result"})
}

func writesTotal() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "origin_query_cache_writes_total",
		Help: "Results that were to be stored in Redis, by what became of them.",
	}, []string{"result"})
}

func (c *Cache) count(query string, r result) { c.requests.WithLabelValues(query, string(r)).Inc() }
