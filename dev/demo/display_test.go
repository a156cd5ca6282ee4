package main

import (
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestDisplayOnAPipe(t *testing.T) {
	var out strings.Builder
	d := newDisplay(&out)
	first := moment{sample: sample{at: d.start, behind: math.NaN()}}
	d.show(first)
	inf := math.Inf(1)
	d.show(moment{
		sample: sample{
			at: d.start.Add(2 * time.Second), changes: 40, purged: 100, behind: 0.0123,
			purge: distribution{{0.001, 10}, {0.002, 20}, {inf, 20}},
		},
		requests: 4000, hits: 3000, audited: 12, stale: 1,
	})
	d.end()
	lines := strings.Split(out.String(), "\n")
	if len(lines) != 3 || lines[0] != columns || lines[2] != "" {
		t.Fatalf("output:\n%s", out.String())
	}
	want := "0:02 2000 75.0% 20 50 1.00ms 1.98ms 12.3ms 12 1"
	if got := strings.Join(strings.Fields(lines[1]), " "); got != want {
		t.Errorf("line %q, want %q", got, want)
	}
	if utf8.RuneCountInString(lines[1]) != utf8.RuneCountInString(columns) {
		t.Errorf("the line is not as wide as its headings:\n%s\n%s", columns, lines[1])
	}
}

// TestDisplayOnATerminal: one line under the headings, drawn over.
func TestDisplayOnATerminal(t *testing.T) {
	var out strings.Builder
	d := newDisplay(&out)
	d.redraw = true
	for i := range 4 {
		d.show(moment{sample: sample{at: d.start.Add(time.Duration(i) * time.Second)}})
	}
	d.end()
	d.end()
	if got := strings.Count(out.String(), "\n"); got != 2 {
		t.Errorf("%d line feeds, want one after the headings and one at the end:\n%q", got, out.String())
	}
	if got := strings.Count(out.String(), "\r"); got != 3 {
		t.Errorf("%d lines drawn, want 3", got)
	}
}

func TestSeconds(t *testing.T) {
	for want, s := range map[string]float64{
		"–": math.NaN(), "0µs": 0, "170µs": 0.00017, "999µs": 0.000999, "1.00ms": 0.001, "12.3ms": 0.0123,
		"123ms": 0.1234, "1.00s": 1, "61.5s": 61.5, "100ms": 0.09999,
	} {
		if got := seconds3(s); got != want {
			t.Errorf("seconds3(%v) = %q, want %q", s, got, want)
		}
	}
}
