package cdc

import (
	"context"
	"sync/atomic"
	"time"

	"walpurge/internal/cdc/catalogue"
	"walpurge/internal/cdc/proof"
	"walpurge/internal/coherence"
)

// sight is what a session goes by of the catalogue.
type sight struct {
	now atomic.Pointer[catalogue.Look] // what was accepted: the guard and the decoder go by it
}

func (s *sight) accepted() *catalogue.Look { return s.now.Load() }

func (s *sight) accept(l *catalogue.Look) { s.now.Store(l) }

// replace accepts now unless something else than before has been accepted
// meanwhile.
func (s *sight) replace(before, now *catalogue.Look) bool { return s.now.CompareAndSwap(before, now) }

// lookDue tells whether the next question is to include the catalogue.
func (s *prober) lookDue(waited bool) bool {
	return waited || s.asked.IsZero() || time.Since(s.asked) >= proof.LookInterval(s.maxLag())
}

// position asks how far the log is flushed, with waited or when it is due after a
// look at the catalogue. It returns the instant that the answer proves (R6): that
// of the question, or of the last look that found what was accepted.
func (s *prober) position(ctx context.Context, waited bool, asked coherence.Nanos) (coherence.LSN, coherence.Nanos, error) {
	if !s.lookDue(waited) {
		lsn, err := s.side.FlushPosition(ctx)
		return lsn, min(asked, s.proven), err
	}
	began := time.Now()
	lsn, sum, err := s.glance.Probe(ctx, s.side, s.catalogue.Version, s.cfg.Publication, s.cfg.Watches)
	if err != nil {
		return 0, 0, err
	}
	holds, err := s.holds(ctx, sum)
	if err != nil {
		return 0, 0, err
	}
	s.asked = time.Time{}
	if holds {
		s.asked, s.proven = began, asked
	}
	return lsn, s.proven, nil
}

// holds tells whether the catalogue of a quick look is what was accepted, or
// differs from it in what nobody reads. If not, the watcher finds out.
func (s *prober) holds(ctx context.Context, sum string) (bool, error) {
	accepted := s.sight.accepted()
	if sum == accepted.Quick {
		return true, nil
	}
	if sum == s.odd {
		s.suspect()
		return false, nil
	}
	now, err := catalogue.LookBeside(ctx, s.side, s.catalogue.Version, s.cfg.Publication, s.cfg.Watches)
	if err != nil {
		return false, err
	}
	if !accepted.Same(now, s.guard.Tables()) {
		s.odd = now.Quick
		s.suspect()
		return false, nil
	}
	now = now.With(accepted.Lost)
	if s.sight.replace(accepted, now) {
		s.announce(now)
	}
	return sum == now.Quick, nil
}

// suspect wakes the watcher.
func (s *session) suspect() {
	select {
	case s.suspicion <- struct{}{}:
	default:
	}
}

// announce tells the other processes what is accepted.
func (s *session) announce(now *catalogue.Look) {
	if w := s.writer; w != nil {
		w.Announce(now.String())
	}
}
