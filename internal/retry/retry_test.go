package retry

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestPausesDouble: from 100 ms to five seconds, half of each by chance.
func TestPausesDouble(t *testing.T) {
	most := Backoff{Chance: func(d time.Duration) time.Duration { return d }}
	least := Backoff{Chance: func(time.Duration) time.Duration { return 0 }}
	var random Backoff
	for _, want := range []time.Duration{100, 200, 400, 800, 1600, 3200, 5000, 5000} {
		want *= time.Millisecond
		low, high, any := least.Next(), most.Next(), random.Next()
		if low != want/2 || high != want || any < low || any > high {
			t.Errorf("pauses of %v, %v and %v, want %v at most", low, high, any, want)
		}
	}
	most.Reset()
	if got := most.Next(); got != 100*time.Millisecond {
		t.Errorf("the first pause after success is %v", got)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if !Wait(t.Context(), time.Hour) || time.Since(began) != time.Hour {
			t.Errorf("waited for %v", time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if began = time.Now(); Wait(ctx, time.Hour) || time.Since(began) != time.Minute {
			t.Errorf("waited for %v", time.Since(began))
		}
	})
}
