package main

import (
	"math"
	"time"
)

// latencies are sorted.
type latencies []time.Duration

// quantile is the smallest value that at least the share q of all values doesn't exceed (the nearest rank); 0 of none.
func (l latencies) quantile(q float64) time.Duration {
	if len(l) == 0 {
		return 0
	}
	rank := int(math.Ceil(q * float64(len(l))))
	return l[min(max(rank, 1), len(l))-1]
}
