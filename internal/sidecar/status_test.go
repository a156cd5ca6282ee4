package sidecar

import (
	"testing"
)

// TestStatusCountsWhatTheCacheSpared: what isn't for a cache counts neither way.
func TestStatusCountsWhatTheCacheSpared(t *testing.T) {
	if ratio(map[string]float64{"pass": 3}) != nil {
		t.Error("there is a ratio of nothing")
	}
	got := ratio(map[string]float64{"pass": 3, "hit": 5, "collapsed": 1, "miss": 2})
	if got == nil || *got != 0.75 {
		t.Errorf("the ratio is %v, want 0.75", got)
	}
}
