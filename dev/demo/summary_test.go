package main

import (
	"strings"
	"testing"
)

func TestSummaryLine(t *testing.T) {
	s := &summary{requests: 59871, hits: 53285, changes: 612, purged: 1234}
	if got, want := s.String(), "demo: requests=59871 hit_ratio=0.89 changes=612 purged=1234 stale=0"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := (&summary{}).String(), "demo: requests=0 hit_ratio=0.00 changes=0 purged=0 stale=0"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestSummaryTellsWhatRequestsMet: each request is in one line of five.
func TestSummaryTellsWhatRequestsMet(t *testing.T) {
	s := summary{requests: 80_000, hits: 56_000, first: 12_000, purges: 11_500, waited: 11_400}
	want := `
requests 80000 100.0%
hits 56000 70.0%
misses on a first visit 12000 15.0%
misses because the page was purged 11500 14.4%
others: past the cache, or after its lifetime 500 0.6%
requests that waited for the origin because of a purge 11400 14.2%
`
	flat := func(text string) string {
		var lines []string
		for line := range strings.Lines(text) {
			lines = append(lines, strings.Join(strings.Fields(line), " "))
		}
		return strings.Join(lines, "\n")
	}
	if got := "\n" + flat(s.requestLines()) + "\n"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	for text, s := range map[string]summary{
		"dropped 2 times": {requests: 1, epochs: 2}, "full to 95%": {requests: 1, memory: 0.95},
	} {
		if !strings.Contains(s.requestLines(), text) {
			t.Errorf("%+v: %s", s, s.requestLines())
		}
	}
	if quiet := (summary{requests: 1, memory: 0.9}).requestLines(); strings.Contains(quiet, "memory") || strings.Contains(quiet, "dropped") {
		t.Error(quiet)
	}
	if none := (summary{}).requestLines(); none != "" {
		t.Errorf("nothing was asked for, and it says %q", none)
	}
}
