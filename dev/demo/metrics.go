package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// sample is what the proxy's metrics said at one moment. What they don't name is 0, and behind is NaN.
type sample struct {
	at      time.Time
	changes float64      // rows that changed
	purged  float64      // responses that were dropped for it
	behind  float64      // seconds
	epochs  float64      // times that everything was dropped
	memory  float64      // bytes in the memory tier
	purge   distribution // from commit to purge, in seconds
}

// distribution is a Prometheus histogram: how many observations were at or below each bound, ascending.
type distribution []bucket

type bucket struct {
	bound float64 // +Inf for the last one
	count float64
}

// scrape asks the admin port.
func scrape(ctx context.Context, c *client, admin string) (sample, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, admin+"/metrics", nil)
	if err != nil {
		return sample{}, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return sample{}, fmt.Errorf("read the proxy's metrics: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return sample{}, fmt.Errorf("read the proxy's metrics: %s", response.Status)
	}
	return parseMetrics(response.Body)
}

func parseMetrics(text io.Reader) (sample, error) {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(text)
	if err != nil {
		return sample{}, fmt.Errorf("read the proxy's metrics: %w", err)
	}
	s := sample{
		at:      time.Now(),
		changes: total(families["walpurge_changes_total"]),
		purged:  total(families["walpurge_purged_entries_total"]),
		epochs:  total(families["walpurge_epochs_total"]),
		behind:  math.NaN(),
	}
	if m := families["walpurge_memory_bytes"].GetMetric(); len(m) == 1 {
		s.memory = m[0].GetGauge().GetValue()
	}
	if m := families["walpurge_behind_seconds"].GetMetric(); len(m) == 1 {
		s.behind = m[0].GetGauge().GetValue()
	}
	for _, m := range families["walpurge_commit_to_purge_seconds"].GetMetric() {
		for _, b := range m.GetHistogram().GetBucket() {
			s.purge = s.purge.add(b.GetUpperBound(), float64(b.GetCumulativeCount()))
		}
	}
	return s, nil
}

// total is the sum of a counter over its labels.
func total(family *dto.MetricFamily) float64 {
	sum := 0.0
	for _, m := range family.GetMetric() {
		sum += m.GetCounter().GetValue()
	}
	return sum
}

// add counts count more observations at or below bound, for a histogram that comes in several series.
func (d distribution) add(bound, count float64) distribution {
	i, found := slices.BinarySearchFunc(d, bound, func(b bucket, bound float64) int {
		switch {
		case b.bound < bound:
			return -1
		case b.bound > bound:
			return 1
		}
		return 0
	})
	if found {
		d[i].count += count
		return d
	}
	return slices.Insert(d, i, bucket{bound, count})
}

// since is the distribution of what was observed after an earlier one was taken.
func (d distribution) since(earlier distribution) distribution {
	if len(earlier) != len(d) {
		return d
	}
	recent := slices.Clone(d)
	for i := range recent {
		recent[i].count -= earlier[i].count
	}
	return recent
}

// quantile estimates the value below which the share q of the observations lies, evenly spread inside a bucket. It is NaN
// without observations, and the highest finite bound when it lies above that.
func (d distribution) quantile(q float64) float64 {
	if len(d) == 0 || d[len(d)-1].count == 0 {
		return math.NaN()
	}
	rank := q * d[len(d)-1].count
	low, below := 0.0, 0.0
	for _, b := range d {
		if b.count >= rank {
			if math.IsInf(b.bound, 1) || b.count == below {
				return low
			}
			return low + (b.bound-low)*(rank-below)/(b.count-below)
		}
		low, below = b.bound, b.count
	}
	return low
}
