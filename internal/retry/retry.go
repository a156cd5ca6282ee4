package cdc

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

// backoff counts failed attempts in a row.
type backoff struct {
	pause  time.Duration
	chance func(time.Duration) time.Duration // nil: at random
}

// reset forgets them.
func (b *backoff) reset() { b.pause = 0 }

// next is the pause before another attempt: half of it at least, the rest by
// chance, so that many proxies don't come back at once.
func (b *backoff) next() time.Duration {
	b.pause = min(max(2*b.pause, firstPause), lastPause)
	if b.chance != nil {
		return b.pause/2 + b.chance(b.pause/2)
	}
	return b.pause/2 + rand.N(b.pause/2)
}

// wait waits for d or for the end of ctx, and tells whether ctx goes on.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
