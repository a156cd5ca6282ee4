package proof

import (
	"testing"
	"time"
)

func TestProbeInterval(t *testing.T) {
	for lag, want := range map[time.Duration][2]time.Duration{
		0:                      {5 * time.Millisecond, 5 * time.Millisecond},
		100 * time.Millisecond: {10 * time.Millisecond, 10 * time.Millisecond},
		2 * time.Second:        {50 * time.Millisecond, 200 * time.Millisecond},
		time.Minute:            {50 * time.Millisecond, time.Second},
	} {
		if got := [2]time.Duration{ProbeInterval(lag), FollowerInterval(lag)}; got != want {
			t.Errorf("a leader and a follower probe every %v for a lag of %v", got, lag)
		}
	}
}
