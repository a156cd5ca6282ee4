// Package outcome is how requests end, and what counts them by that. It knows no
// other package of the cache; each route carries its counters.
package outcome

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"walpurge/internal/coherence"
)

// Outcome is how a request ended.
type Outcome uint8

// The outcomes. Every request has exactly one.
const (
	Hit         Outcome = iota // from a tier
	Miss                       // fetched for this request
	Stale                      // from a tier after its lifetime (RFC 5861)
	Revalidated                // from a tier, confirmed by the origin
	Collapsed                  // fetched for another request
	Bypass                     // a cached route, and the cache had to stand aside
	Pass                       // nothing that is cached
	Fault                      // no answer from the origin
	count
)

var names = [count]string{"hit", "miss", "stale", "revalidated", "collapsed", "bypass", "pass", "error"}

// Counters are a route's counters, found once.
type Counters [count]Counter

// Counter counts the requests of one route that ended in one way.
type Counter struct {
	requests prometheus.Counter
	seconds  prometheus.Observer
}

// Count counts a request that took so long.
func (c *Counter) Count(took coherence.Nanos) {
	c.requests.Inc()
	c.seconds.Observe(float64(took) / float64(time.Second))
}

// NewCounters makes the counters of a route with that label: of requests, by
// route and outcome, and of their seconds, by outcome.
func NewCounters(requests *prometheus.CounterVec, seconds *prometheus.HistogramVec, label string) Counters {
	var o Counters
	for i, name := range names {
		o[i] = Counter{requests.WithLabelValues(label, name), seconds.WithLabelValues(name)}
	}
	return o
}

// Read is how many requests were counted.
func (c *Counter) Read() (float64, error) {
	var m dto.Metric
	err := c.requests.Write(&m)
	return m.GetCounter().GetValue(), err
}

// Name is the outcome as metrics, logs and traces have it.
func (o Outcome) Name() string { return names[o] }
