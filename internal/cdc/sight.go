package cdc

import (
	"context"
	"sync/atomic"
	"time"

	"walpurge/internal/cdc/catalogue"
	"walpurge/internal/cdc/primary"
	"walpurge/internal/cdc/proof"
	"walpurge/internal/coherence"
)

// sight is what a session goes by of the catalogue.
type sight struct {
	now atomic.Pointer[catalogue.Look] // what was accepted: the guard and the decoder go by it

	// Of the prober.
	glance catalogue.Glance
	proven coherence.Nanos // when the catalogue was last asked and found to be what was accepted
	asked  time.Time       // when it was last asked; zero: ask at once
	odd    string          // the quick look that wasn't
}

func (s *sight) accepted() *catalogue.Look { return s.now.Load() }

func (s *sight) accept(l *catalogue.Look) { s.now.Store(l) }

// replace accepts now unless something else than before has been accepted
// meanwhile.
func (s *sight) replace(before, now *catalogue.Look) bool { return s.now.CompareAndSwap(before, now) }

// lookDue tells whether the next question is to include the catalogue.
func (s *prober) lookDue(waited bool) bool {
	return waited || s.sight.asked.IsZero() || time.Since(s.sight.asked) >= proof.LookInterval(s.maxLag())
}

// position asks how far the log is flushed, with waited or when it is due after a
// look at the catalogue. It returns the instant that the answer proves (R6): that
// of the question, or of the last look that found what was accepted.
func (s *prober) position(ctx context.Context, waited bool, asked coherence.Nanos) (coherence.LSN, coherence.Nanos, error) {
	v := &s.sight
	if !s.lookDue(waited) {
		lsn, err := s.side.FlushPosition(ctx)
		return lsn, min(asked, v.proven), err
	}
	began := time.Now()
	lsn, sum, err := v.glance.Probe(ctx, s.side, s.catalogue.Version, s.cfg.Publication, s.cfg.Watches)
	if err != nil {
		return 0, 0, err
	}
	holds, err := s.holds(ctx, sum)
	if err != nil {
		return 0, 0, err
	}
	v.asked = time.Time{}
	if holds {
		v.asked, v.proven = began, asked
	}
	return lsn, v.proven, nil
}

// holds tells whether the catalogue of a quick look is what was accepted, or
// differs from it in what nobody reads. If not, the watcher finds out.
func (s *prober) holds(ctx context.Context, sum string) (bool, error) {
	accepted := s.sight.accepted()
	if sum == accepted.Quick {
		return true, nil
	}
	if sum == s.sight.odd {
		s.suspect()
		return false, nil
	}
	conn, err := s.side.Open(ctx)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, primary.QueryTimeout)
	defer cancel()
	now, err := catalogue.ReadLook(ctx, conn, s.catalogue.Version, s.cfg.Publication, s.cfg.Watches)
	if err != nil {
		return false, err
	}
	if !accepted.Same(now, s.guard.Tables()) {
		s.sight.odd = now.Quick
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
