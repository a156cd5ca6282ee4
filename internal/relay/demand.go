package cdc

import (
	"context"
	"time"
)

// A follower's strict read waits for a position that the leader may know of
// already and has not told yet: entries without a transaction come at most
// every markPause, for the sake of Redis. While somebody waits, they come at
// once. A follower says so under a key beside the stream.
const (
	demandLife  = time.Second            // of the key
	demandEvery = 400 * time.Millisecond // it is set while strict reads wait,
	demandLook  = 100 * time.Millisecond // and looked for by the leader while the log moves
)

func (s redisStream) demandKey() string { return s.key + ":wanted" }

func (s redisStream) want(ctx context.Context, life time.Duration) error {
	return s.client.Set(ctx, s.demandKey(), 1, life).Err()
}

func (s redisStream) wanted(ctx context.Context) (bool, error) {
	n, err := s.client.Exists(ctx, s.demandKey()).Result()
	return n > 0, err
}

// demand says that strict reads wait, for as long as wanting says so.
func (f *follower) demand(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-f.wanting:
		}
		within, cancel := context.WithTimeout(ctx, relayWait)
		_ = f.stream.want(within, demandLife) // it is a wish
		cancel()
		wait(ctx, demandEvery)
	}
}

// want notes that a strict read waits for the relay.
func (f *follower) want() {
	select {
	case f.wanting <- struct{}{}:
	default:
	}
}

// demanded tells the leader whether a follower has said so of late. Only the
// goroutine that writes calls it.
func (w *relayWriter) demanded(ctx context.Context) bool {
	if time.Since(w.askedAt) >= demandLook {
		within, cancel := context.WithTimeout(ctx, relayWait)
		defer cancel()
		wanted, err := w.f.stream.wanted(within)
		w.askedAt, w.wanted = time.Now(), err == nil && wanted
	}
	return w.wanted
}
