package proxycache

import (
	"regexp"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// metrics are the collectors that package proxycache fills.
type metrics struct {
	registry  *prometheus.Registry
	requests  *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	upstream  prometheus.Histogram
	redis     *prometheus.CounterVec
	discarded *prometheus.CounterVec
	refused   *prometheus.CounterVec
}

// buckets run from 10 µs to 10 s.
var buckets = []float64{1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "walpurge_requests_total", Help: "Requests by route and outcome.",
		}, []string{"route", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "walpurge_request_duration_seconds", Help: "Time from a request's head to the end of its response.", Buckets: buckets,
		}, []string{"outcome"}),
		upstream: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "walpurge_upstream_duration_seconds", Help: "Time from sending a request to the origin to the head of its response.", Buckets: buckets,
		}),
		redis: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "walpurge_redis_requests_total", Help: "Requests to the Redis tier by operation and result.",
		}, []string{"op", "result"}),
		discarded: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "walpurge_fills_discarded_total", Help: "Responses that were fetched to be stored and weren't, by reason.",
		}, []string{"reason"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "walpurge_refused_requests_total", Help: "What came in on the port and was no proper request, by reason.",
		}, []string{"reason"}),
	}
	m.registry.MustRegister(
		collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(collectors.GoRuntimeMetricsRule{Matcher: heapLive})), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		m.requests, m.seconds, m.upstream, m.redis, m.discarded, m.refused)
	return m
}

// heapLive is what the collector found in use when it last ran, which is what
// the process needs; the rest of its heap is garbage and room.
var heapLive = regexp.MustCompile(`^/gc/heap/live:bytes$`)

// watch registers what is measured when it is asked for.
func (m *metrics) watch(p *Proxy) {
	m.registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "walpurge_memory_bytes", Help: "Bytes in the memory tier, overhead included.",
		}, func() float64 { return float64(p.memory.Bytes()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "walpurge_memory_entries", Help: "Responses in the memory tier.",
		}, func() float64 { return float64(p.memory.Entries()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "walpurge_fills_in_flight", Help: "Fills on their way that can be joined.",
		}, func() float64 {
			flying, _ := p.fills.Flights.Count()
			return float64(flying)
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "walpurge_origin_waiting", Help: "Requests that wait for their turn at the origin.",
		}, func() float64 { return float64(p.upstream.Waits()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "walpurge_client_connections", Help: "Open client connections.",
		}, func() float64 { return float64(p.clients.Connections()) }),
	)
}
