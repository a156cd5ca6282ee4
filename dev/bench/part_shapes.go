package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// caches are ours and the peers.
var caches = append([]string{guarded}, peers...)

// measureSizes asks for pages of other sizes than the 2 KiB of the part hits.
func measureSizes(ctx context.Context, st *stage) (*result, error) {
	rounds, span := 3, 1500*time.Millisecond
	if st.short {
		rounds, span = 1, 300*time.Millisecond
	}
	all := append(slices.Clone(caches), bottom)
	var trials []trial
	for _, c := range []struct {
		label string
		size  int
	}{{"200 B", 200}, {"32 KiB", 32 << 10}, {"1 MiB", 1 << 20}} {
		trials = append(trials, trial{label: c.label, names: all, size: c.size, connections: connections})
	}
	found, err := st.try(ctx, trials, rounds, span)
	if err != nil {
		return nil, err
	}
	return &result{tables: []table{compared("Hits by size", trials, found, fmt.Sprintf("%d connections, medians of %d alternating rounds.", connections, rounds))}}, nil
}

// measureConnections asks over few and many connections.
func measureConnections(ctx context.Context, st *stage) (*result, error) {
	rounds, span := 3, 1500*time.Millisecond
	if st.short {
		rounds, span = 1, 300*time.Millisecond
	}
	all := append(slices.Clone(caches), bottom)
	var trials []trial
	notes := []string{fmt.Sprintf("2 KiB, medians of %d alternating rounds; each connection asks again as soon as it has its answer.", rounds)}
	for _, n := range []int{1, 1000, 10_000} {
		if n+500 > st.files {
			notes = append(notes, fmt.Sprintf("%d connections are not measured: a process may have %d files open here.", n, st.files))
			continue
		}
		trials = append(trials, trial{label: fmt.Sprintf("%d connections", n), names: all, size: pageSize, connections: n})
	}
	found, err := st.try(ctx, trials, rounds, span)
	if err != nil {
		return nil, err
	}
	return &result{tables: []table{compared("Hits by connections", trials, found, notes...)}}, nil
}

// measureConditional asks for a page that the client has already.
func measureConditional(ctx context.Context, st *stage) (*result, error) {
	rounds, span := 3, 1500*time.Millisecond
	if st.short {
		rounds, span = 1, 300*time.Millisecond
	}
	trials := []trial{{
		label: "If-None-Match", names: caches, size: pageSize, connections: connections,
		plan: func(s *server, _ int, span time.Duration) *plan {
			request := s.get(page, "If-None-Match: "+etag+"\r\n")
			return &plan{
				span: span, status: 304, length: -1, mark: []byte(s.mark),
				request: func(dst []byte, _ int) []byte { return append(dst, request...) },
			}
		},
	}}
	found, err := st.try(ctx, trials, rounds, span)
	if err != nil {
		return nil, err
	}
	return &result{tables: []table{compared("304 answers", trials, found, fmt.Sprintf("%d connections, medians of %d alternating rounds; every answer is a 304.", connections, rounds))}}, nil
}
