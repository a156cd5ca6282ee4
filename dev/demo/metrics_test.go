package main

import (
	"math"
	"strings"
	"testing"
)

const exposition = `# HELP walpurge_changes_total Row changes.
# TYPE walpurge_changes_total counter
walpurge_changes_total{op="insert",table="public.listings"} 3
walpurge_changes_total{op="update",table="public.listings"} 40
# TYPE walpurge_purged_entries_total counter
walpurge_purged_entries_total{table="public.listings"} 17
# TYPE walpurge_epochs_total counter
walpurge_epochs_total{reason="start"} 1
walpurge_epochs_total{reason="slot"} 2
# TYPE walpurge_memory_bytes gauge
walpurge_memory_bytes 1.5e+06
# TYPE walpurge_behind_seconds gauge
walpurge_behind_seconds 0.0125
# TYPE walpurge_commit_to_purge_seconds histogram
walpurge_commit_to_purge_seconds_bucket{le="0.001"} 10
walpurge_commit_to_purge_seconds_bucket{le="0.002"} 30
walpurge_commit_to_purge_seconds_bucket{le="0.004"} 40
walpurge_commit_to_purge_seconds_bucket{le="+Inf"} 40
walpurge_commit_to_purge_seconds_sum 0.05
walpurge_commit_to_purge_seconds_count 40
`

func TestParseMetrics(t *testing.T) {
	s, err := parseMetrics(strings.NewReader(exposition))
	must(t, err)
	if s.changes != 43 || s.purged != 17 || s.behind != 0.0125 {
		t.Errorf("changes %v, purged %v, behind %v", s.changes, s.purged, s.behind)
	}
	if s.epochs != 3 || s.memory != 1.5e6 {
		t.Errorf("epochs %v, memory %v", s.epochs, s.memory)
	}
	// Half of 40 are 20: 10 are below 1 ms, and 10 of the 20 between 1 and 2 ms make 1.5 ms.
	if got := s.purge.quantile(0.5); math.Abs(got-0.0015) > 1e-9 {
		t.Errorf("p50 %v, want 0.0015", got)
	}
	if got := s.purge.quantile(1); got != 0.004 {
		t.Errorf("p100 %v, want 0.004", got)
	}
}

func TestParseMetricsBeforeThereAreAny(t *testing.T) {
	s, err := parseMetrics(strings.NewReader(""))
	must(t, err)
	if s.changes != 0 || s.purged != 0 || !math.IsNaN(s.behind) || !math.IsNaN(s.purge.quantile(0.5)) {
		t.Errorf("sample %+v", s)
	}
}

func TestParseMetricsRefusesGarbage(t *testing.T) {
	if _, err := parseMetrics(strings.NewReader("<html>\n")); err == nil {
		t.Error("no error")
	}
}

func TestDistributionSince(t *testing.T) {
	inf := math.Inf(1)
	earlier := distribution{{0.001, 100}, {0.002, 100}, {inf, 100}}
	now := distribution{{0.001, 100}, {0.002, 104}, {inf, 104}}
	if got := now.since(earlier).quantile(0.5); got != 0.0015 {
		t.Errorf("p50 of the recent ones %v, want 0.0015", got)
	}
	if got := now.since(now).quantile(0.5); !math.IsNaN(got) {
		t.Errorf("p50 of nothing %v, want NaN", got)
	}
	if got := (distribution{{0.001, 0}, {inf, 2}}).quantile(0.99); got != 0.001 {
		t.Errorf("a quantile beyond the last bound is %v, want that bound", got)
	}
}
