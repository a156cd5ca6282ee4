package main

import (
	"fmt"
	"slices"
)

// series are the values of one contestant, one a round.
type series []float64

// median is the middle value, or the mean of the two in the middle; 0 of an empty series.
func (s series) median() float64 {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// span is the smallest and the largest value.
func (s series) span(format string) string {
	if len(s) == 0 {
		return ""
	}
	return fmt.Sprintf(format+" … "+format, slices.Min(s), slices.Max(s))
}

// turns is the order of n contestants in a round: each begins in its turn (M1).
func turns(n, round int) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = (i + round) % n
	}
	return order
}
