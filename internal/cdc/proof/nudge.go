package proof

import (
	"context"
	"math/rand/v2"
	"time"

	"walpurge/internal/cdc/pgoutput"
	"walpurge/internal/cdc/primary"
	"walpurge/internal/coherence"
)

// How long a log must stand still in the middle of a record before it is
// nudged.
const (
	standstillAfter = 250 * time.Millisecond // while nobody waits
	leaderHurry     = 2 * time.Millisecond   // while a strict read does
	followerHurry   = 4 * time.Millisecond   // the same on a follower, or up to three times as long, by chance
	nudgePause      = 20 * time.Millisecond  // between two nudges of one process
)

// Standstill notices a log that has been flushed to the middle of a record
// and stays there. The WAL writer flushes whole pages and leaves the rest of
// the last record until somebody commits, which on a quiet server may take
// 15 seconds; and the walsender sends no position inside a record.
//
// A strict read that got such a position as its answer waits for it, so the
// next look is soon. Of many followers in this state one nudges first, and
// the others see the log move.
type Standstill struct {
	hurry func() time.Duration // how long to watch while somebody waits

	since          time.Time
	flush, applied coherence.LSN
	wanted         coherence.LSN // what a strict read waits for; 0: none does
	wantedAt       time.Time
	nudged         time.Time
}

// ForLeader is a standstill as the one that leads watches for it.
func ForLeader() Standstill {
	return Standstill{hurry: func() time.Duration { return leaderHurry }}
}

// ForFollower is the same on a follower: how long it watches differs from one
// to the next.
func ForFollower() Standstill {
	return Standstill{hurry: func() time.Duration { return followerHurry + rand.N(2*followerHurry) }}
}

// Wait notes that lsn was the answer, and whether somebody waits for it.
func (s *Standstill) Wait(waited bool, lsn coherence.LSN) {
	if waited {
		s.wanted, s.wantedAt = lsn, time.Now()
	}
}

// Over notes that the log was found applied to its end.
func (s *Standstill) Over() { s.since, s.wanted = time.Time{}, 0 }

// Urgent tells whether somebody may be waiting still.
func (s *Standstill) Urgent(applied coherence.LSN) bool {
	return s.wanted > applied && time.Since(s.wantedAt) < standstillAfter
}

// Again says when to look again out of turn.
func (s *Standstill) Again(applied coherence.LSN) <-chan time.Time {
	if !s.Urgent(applied) {
		return nil
	}
	return time.After(s.hurry())
}

// Lasts tells whether neither position has moved for a while, so that the log
// wants a nudge.
func (s *Standstill) Lasts(flush, applied coherence.LSN) bool {
	now := time.Now()
	if s.since.IsZero() || s.flush != flush || s.applied != applied {
		s.since, s.flush, s.applied = now, flush, applied
		return false
	}
	after := standstillAfter
	if s.Urgent(applied) {
		after = leaderHurry
	}
	if now.Sub(s.since) < after || now.Sub(s.nudged) < nudgePause {
		return false
	}
	s.nudged = now
	return true
}

// Nudge commits an empty message, which flushes the log to the end of a
// record. It is a hundred bytes of WAL.
func Nudge(ctx context.Context, side *primary.Conn) error {
	conn, err := side.Open(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, primary.QueryTimeout)
	defer cancel()
	_, err = primary.Emit(ctx, conn, pgoutput.Prefix, "")
	return err
}
