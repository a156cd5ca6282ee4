// Package retry makes the pauses between attempts at what has failed.
package retry

import (
	"context"
	"math/rand/v2"
	"time"
)

// Pauses between attempts double from the first to the last.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
)

// Backoff counts failed attempts in a row.
type Backoff struct {
	// Chance is how much of a pause is left to chance: less than what it is
	// given. nil: at random.
	Chance func(time.Duration) time.Duration

	pause time.Duration
}

// Reset forgets them.
func (b *Backoff) Reset() { b.pause = 0 }

// Next is the pause before another attempt: half of it at least, the rest by
// chance, so that many proxies don't come back at once.
func (b *Backoff) Next() time.Duration {
	b.pause = min(max(2*b.pause, firstPause), lastPause)
	if b.Chance != nil {
		return b.pause/2 + b.Chance(b.pause/2)
	}
	return b.pause/2 + rand.N(b.pause/2)
}

// Wait waits for d or for the end of ctx, and tells whether ctx goes on.
func Wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
