// Package cdcmetrics shows Prometheus what following the log does: what
// changed and was purged, how soon, and where a listener stands. It knows cdc;
// cdc sees an Observer only.
package cdcmetrics

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"walpurge/internal/cdc"
	"walpurge/internal/cdc/catalogue"
	"walpurge/internal/coherence"
)

// Metrics is the [cdc.Observer] that counts for Prometheus.
type Metrics struct {
	changes *prometheus.CounterVec
	purged  *prometheus.CounterVec
	toPurge prometheus.Histogram
	settled prometheus.Histogram
	epochs  *prometheus.CounterVec
}

// lagBuckets run from 100 µs to 10 s.
var lagBuckets = []float64{1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}

// New registers the metrics of following the log of tables. A series
// exists from the start, so that a rate over it sees its first event.
func New(registry prometheus.Registerer, tables []coherence.Table) *Metrics {
	m := &Metrics{
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "walpurge_changes_total", Help: "Changed rows of watched tables by table and operation.",
		}, []string{"table", "op"}),
		purged: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "walpurge_purged_entries_total", Help: "Stored responses dropped by changes, by the table that touched them first.",
		}, []string{"table"}),
		toPurge: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "walpurge_commit_to_purge_seconds", Help: "From a commit, by the server's clock, to the end of its purge, by ours.", Buckets: lagBuckets,
		}),
		settled: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "walpurge_commit_to_settled_seconds", Help: "From a commit, by the server's clock, until it is known to be visible.", Buckets: lagBuckets,
		}),
		epochs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "walpurge_epochs_total", Help: "Epochs begun, each of which dropped everything cached with dependencies, by reason.",
		}, []string{"reason"}),
	}
	for _, t := range tables {
		m.purged.WithLabelValues(t.Name)
		for op := coherence.Insert; op <= coherence.Truncate; op++ {
			m.changes.WithLabelValues(t.Name, op.String())
		}
	}
	for _, reason := range []string{
		"start", "temporary", "system", "timeline", "behind", "slot_missing", "slot_lost", "slot_ahead", catalogue.ReasonPublication, "decode", "schema", "catalogue", "relay", "redis", "gap",
	} {
		m.epochs.WithLabelValues(reason)
	}
	registry.MustRegister(m.changes, m.purged, m.toPurge, m.settled, m.epochs)
	return m
}

// Watch registers what is read from a listener when it is asked for.
func (m *Metrics) Watch(registry prometheus.Registerer, l *cdc.Listener) {
	gauge := func(name, help string, value func(*cdc.Status) float64) {
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			s := l.Status()
			return value(&s)
		}))
	}
	gauge("walpurge_behind_seconds", "Age of the last proof of freshness; +Inf without one.", func(s *cdc.Status) float64 {
		if s.Behind < 0 {
			return math.Inf(1)
		}
		return s.Behind.Seconds()
	})
	gauge("walpurge_slot_retained_bytes", "Write-ahead log that the primary keeps for the slot; -1 when not known.", func(s *cdc.Status) float64 {
		return float64(s.RetainedBytes)
	})
	gauge("walpurge_leader", "1 while this process holds the replication slot.", func(s *cdc.Status) float64 {
		return truth(s.Connected)
	})
	if l.Status().Relay != nil {
		gauge("walpurge_relay_sequence", "Sequence number of the last entry of the relay that was read or written.", func(s *cdc.Status) float64 {
			return float64(s.Relay.Sequence)
		})
		gauge("walpurge_relay_queued_bytes", "Transactions that wait for Redis to take them, on the leader.", func(s *cdc.Status) float64 {
			return float64(s.Relay.Queued)
		})
		gauge("walpurge_relay_covered", "1 if the leader watches every table that this process watches; without that it serves nothing from the cache.", func(s *cdc.Status) float64 {
			return truth(s.Relay.Covered)
		})
		gauge("walpurge_relay_elsewhere", "1 while the server that answers this process is not the one that the leader follows; /status says why. It then serves nothing from the cache.", func(s *cdc.Status) float64 {
			return truth(s.Relay.Elsewhere != "")
		})
		gauge("walpurge_relay_doubt", "1 while the history has ended for this process and nobody has begun another; /status says why. It then serves nothing from the cache.", func(s *cdc.Status) float64 {
			return truth(s.Relay.Doubt != "")
		})
	}
	gauge("walpurge_read_ahead", "1 while the stream from the slot is behind and the log is read ahead of it, by whole tables.", func(s *cdc.Status) float64 {
		return truth(s.ReadAhead)
	})
	registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "walpurge_read_ahead_transactions_total", Help: "Transactions applied by whole tables, because the stream from the slot was behind.",
	}, func() float64 { return float64(l.Status().ReadAheadTransactions) }))
	gauge("walpurge_lost_tables", "Watched tables that can't be followed, such as one whose writes would fail; /status says why and what mends it. What depends on them is asked of the origin.", func(s *cdc.Status) float64 {
		return float64(len(s.Lost))
	})
	gauge("walpurge_pending_transactions", "Transactions that are applied and not known to be visible.", func(s *cdc.Status) float64 {
		return float64(s.Pending)
	})
}

// truth is 1 or 0.
func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// Applied implements [cdc.Observer].
func (m *Metrics) Applied(tx *coherence.Transaction, p *coherence.Purge, _ time.Duration) {
	for t, ops := range tx.Rows {
		for op, n := range ops {
			if n > 0 {
				m.changes.WithLabelValues(tx.Tables()[t].Name, coherence.Op(op).String()).Add(float64(n))
			}
		}
		if n := p.Tables[t]; n > 0 {
			m.purged.WithLabelValues(tx.Tables()[t].Name).Add(float64(n))
		}
	}
	m.toPurge.Observe(max(time.Since(tx.CommittedAt), 0).Seconds())
}

// Settled implements [cdc.Observer].
func (m *Metrics) Settled(lag time.Duration) { m.settled.Observe(lag.Seconds()) }

// Epoch implements [cdc.Observer].
func (m *Metrics) Epoch(reason string, _ int) { m.epochs.WithLabelValues(reason).Inc() }
