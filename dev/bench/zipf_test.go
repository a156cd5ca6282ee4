package main

import (
	"slices"
	"testing"
)

func TestFewKeysAreAskedForOften(t *testing.T) {
	const keys, n = 1000, 100_000
	drawn := zipf(keys, n)
	counts := make([]int, keys+1)
	for _, k := range drawn {
		if k < 1 || k > keys {
			t.Fatalf("drew the key %d of %d", k, keys)
		}
		counts[k]++
	}
	slices.SortFunc(counts, func(a, b int) int { return b - a })
	// The k-th most popular comes about k^1.1 times less often than the first.
	if ratio := float64(counts[0]) / float64(counts[9]); ratio < 8 || ratio > 20 {
		t.Errorf("the first comes %.1f times as often as the tenth, want about 12.6", ratio)
	}
	if !slices.Equal(drawn, zipf(keys, n)) {
		t.Error("another run would ask for other keys")
	}
}
