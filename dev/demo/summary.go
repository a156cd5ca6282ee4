package main

import (
	"fmt"
	"strings"
)

// summary is what the demo ends with.
type summary struct {
	requests, hits  int64
	first, purges   int64 // requests that missed: on the first visit of their page, and because it was purged
	waited          int64 // of the latter, for the origin
	changes, purged int64 // rows, responses
	stale           int64
	epochs          int64   // times that everything was dropped
	memory          float64 // share of the memory tier that was in use at the end
}

// crowded is how full the memory tier may be. Above, it drops responses to make room, or will soon.
const crowded = 0.9

// requestLines tell what the requests met, a line each. There are none without requests.
func (s summary) requestLines() string {
	if s.requests == 0 {
		return ""
	}
	var b strings.Builder
	line := func(what string, n int64) {
		fmt.Fprintf(&b, "%-58s %9d  %6s\n", what, n, percent(n, s.requests))
	}
	line("requests", s.requests)
	line("  hits", s.hits)
	line("  misses on a first visit", s.first)
	line("  misses because the page was purged", s.purges)
	line("  others: past the cache, or after its lifetime", s.requests-s.hits-s.first-s.purges)
	line("requests that waited for the origin because of a purge", s.waited)
	if s.epochs > 0 {
		fmt.Fprintf(&b, "Everything cached was dropped %d times; misses after that count as purges.\n", s.epochs)
	}
	if s.memory > crowded {
		fmt.Fprintf(&b, "The memory tier is full to %.0f%%; some misses that count as purges may be of pages that had to make room.\n", 100*s.memory)
	}
	return b.String()
}

// String is the last line, in a fixed form that scripts read.
func (s summary) String() string {
	ratio := 0.0
	if s.requests > 0 {
		ratio = float64(s.hits) / float64(s.requests)
	}
	return fmt.Sprintf("demo: requests=%d hit_ratio=%.2f changes=%d purged=%d stale=%d", s.requests, ratio, s.changes, s.purged, s.stale)
}
