package main

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The quantile is one of the values, and as many values as it says are not above it.
func TestQuantileCoversItsShare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Int64Range(0, 50), 1, 200).Draw(t, "values")
		q := rapid.Float64Range(0, 1).Draw(t, "q")
		l := make(latencies, len(values))
		for i, v := range values {
			l[i] = time.Duration(v)
		}
		slices.Sort(l)
		got := l.quantile(q)
		covered, below := 0, 0
		for _, v := range l {
			if v <= got {
				covered++
			}
			if v < got {
				below++
			}
		}
		switch {
		case !slices.Contains(l, got):
			t.Fatalf("%v is none of the values", got)
		case float64(covered) < q*float64(len(l))-1e-6:
			t.Fatalf("%v covers %d of %d, less than %v", got, covered, len(l), q)
		case q > 0 && float64(below) >= q*float64(len(l))+1e-6:
			t.Fatalf("a smaller value than %v covers %v too: %d of %d", got, q, below, len(l))
		}
	})
}

func TestQuantileGrows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOf(rapid.Int64Range(0, 1<<40)).Draw(t, "values")
		l := make(latencies, len(values))
		for i, v := range values {
			l[i] = time.Duration(v)
		}
		slices.Sort(l)
		a, b := rapid.Float64Range(0, 1).Draw(t, "a"), rapid.Float64Range(0, 1).Draw(t, "b")
		if l.quantile(min(a, b)) > l.quantile(max(a, b)) {
			t.Fatalf("the quantile %v is above the quantile %v", min(a, b), max(a, b))
		}
		if len(l) > 0 && (l.quantile(0) != l[0] || l.quantile(1) != l[len(l)-1]) {
			t.Fatal("the ends are not the smallest and the largest value")
		}
	})
}
