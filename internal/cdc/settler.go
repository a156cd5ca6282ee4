package cdc

import (
	"context"
	"sync"
	"time"

	"walpurge/internal/cdc/primary"
)

// Pauses between snapshots while something stays pending.
const (
	firstSnapshotPause = 50 * time.Microsecond
	lastSnapshotPause  = 5 * time.Millisecond
)

// visibility holds what is known of the transactions that are pending.
type visibility struct {
	wake chan struct{} // of capacity 1

	mu struct {
		sync.Mutex
		commits []time.Time // of the pending, in the order of the log
	}
}

// add notes a transaction that has been applied.
func (v *visibility) add(committed time.Time) {
	v.mu.Lock()
	v.mu.commits = append(v.mu.commits, committed)
	v.mu.Unlock()
	v.poke()
}

// poke wakes whoever asks for snapshots, now or at the next look.
func (v *visibility) poke() {
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// settled takes out all but the last remaining and reports each one's age.
func (v *visibility) settled(remaining int, report func(time.Duration)) {
	v.mu.Lock()
	n := max(0, len(v.mu.commits)-remaining)
	done := v.mu.commits[:n:n]
	v.mu.commits = v.mu.commits[n:]
	v.mu.Unlock()
	now := time.Now()
	for _, at := range done {
		report(max(0, now.Sub(at)))
	}
}

// settler ends the pending state of what has become visible (R4). It asks on a
// connection of its own, never in the receive loop, which goes on meanwhile.
type settler struct {
	*shared
	server  primary.Server
	pending *visibility
}

// run settles, for ever.
func (s *settler) run(ctx context.Context) error {
	side := s.beside(s.server)
	defer side.Close()
	// Connect before the first commit, and look after what an earlier session
	// left pending.
	s.pending.poke()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.pending.wake:
		}
		err := s.settle(ctx, side)
		if goes, why := s.goesOn(ctx, "visibility", err); !goes {
			return why
		}
		if !side.Rest(ctx, err) {
			return nil
		}
		if err != nil {
			s.pending.poke()
		}
	}
}

// settle asks for snapshots until nothing is pending.
func (s *settler) settle(ctx context.Context, side *primary.Conn) error {
	pause := firstSnapshotPause
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		snap, err := side.Snapshot(ctx)
		if err != nil {
			return err
		}
		remaining := s.guard.Settle(snap)
		s.pending.settled(remaining, s.observer.Settled)
		if remaining == 0 {
			return nil
		}
		timer.Reset(pause)
		select {
		case <-ctx.Done():
			return nil
		case <-s.pending.wake:
			pause = firstSnapshotPause
		case <-timer.C:
			pause = min(2*pause, lastSnapshotPause)
		}
	}
}
