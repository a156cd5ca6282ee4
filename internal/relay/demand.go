package relay

import (
	"context"
	"time"
)

// A follower's strict read waits for a position that the leader may know of
// already and has not told yet: entries without a transaction come at most
// every markPause, for the sake of Redis. While somebody waits, they come at
// once. A follower says so under a key beside the stream.
const (
	demandLife = time.Second            // of the key
	demandLook = 100 * time.Millisecond // between two looks for it, while the log moves
)

func (s redisServer) demandKey() string { return s.key + ":wanted" }

// Want implements Server by SET.
func (s redisServer) Want(ctx context.Context, life time.Duration) error {
	return s.client.Set(ctx, s.demandKey(), 1, life).Err()
}

// Wanted implements Server by EXISTS.
func (s redisServer) Wanted(ctx context.Context) (bool, error) {
	n, err := s.client.Exists(ctx, s.demandKey()).Result()
	return n > 0, err
}

// Want says that strict reads wait here. It is a wish: nothing comes of it if
// Redis doesn't answer.
func (s *Stream) Want(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, Wait)
	defer cancel()
	_ = s.Server.Want(ctx, demandLife)
}

// demanded tells the leader whether a follower has said so of late. Only the
// goroutine that writes calls it.
func (w *Writer) demanded(ctx context.Context) bool {
	if time.Since(w.askedAt) >= demandLook {
		within, cancel := context.WithTimeout(ctx, Wait)
		defer cancel()
		wanted, err := w.term.Stream.Server.Wanted(within)
		w.askedAt, w.wanted = time.Now(), err == nil && wanted
	}
	return w.wanted
}
