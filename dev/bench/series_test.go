package main

import (
	"slices"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		s    series
		want float64
	}{
		{nil, 0},
		{series{3}, 3},
		{series{9, 1}, 5},
		{series{100, 1, 2}, 2},
		{series{4, 100, 1, 2}, 3},
	} {
		before := slices.Clone(c.s)
		if got := c.s.median(); got != c.want {
			t.Errorf("%v: got %v, want %v", c.s, got, c.want)
		}
		if !slices.Equal(c.s, before) {
			t.Errorf("%v was put into another order", before)
		}
	}
}

func TestEveryoneTakesTurnsToBegin(t *testing.T) {
	begun := map[int]bool{}
	for round := range 5 {
		order := turns(5, round)
		begun[order[0]] = true
		if sorted := slices.Sorted(slices.Values(order)); !slices.Equal(sorted, []int{0, 1, 2, 3, 4}) {
			t.Errorf("round %d: %v leaves somebody out", round, order)
		}
	}
	if len(begun) != 5 {
		t.Errorf("only %v have begun", begun)
	}
}
