package cdc

import (
	"context"
	"fmt"
	"time"

	"walpurge/internal/cdc/catalogue"
	"walpurge/internal/cdc/primary"
	"walpurge/internal/cdc/proof"
	"walpurge/internal/coherence"
)

// FlushPosition asks the primary how far its log is flushed: every commit
// that had returned before the call ends at or before the result, unless it
// was made with synchronous_commit=off. Calls that arrive together share one
// query. Without a connection to the primary it is an error at once.
func (l *Listener) FlushPosition(ctx context.Context) (coherence.LSN, error) { return l.flush.Ask(ctx) }

// prober renews the proof of freshness of the one that leads (R6).
type prober struct {
	*session
	side *primary.Conn

	glance catalogue.Glance
	proven coherence.Nanos // when the catalogue was last asked and found to be what was accepted
	asked  time.Time       // when it was last asked; zero: ask at once
	odd    string          // the quick look that wasn't
}

// run renews the proof of freshness (R6), for ever.
func (s *prober) run(ctx context.Context) error {
	s.side = s.beside(s.server)
	defer s.side.Close()
	tick := time.NewTicker(proof.ProbeInterval(s.maxLag()))
	defer tick.Stop()
	wake := s.flush.Waking()
	stuck := proof.ForLeader()
	for {
		err := s.probe(ctx, &stuck)
		if goes, why := s.goesOn(ctx, "freshness", err); !goes {
			return why
		}
		if !s.side.Rest(ctx, err) {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-wake:
		case <-stuck.Again(s.guard.Applied()):
		}
		tick.Reset(proof.ProbeInterval(s.maxLag()))
	}
}

// probe asks once.
func (s *prober) probe(ctx context.Context, stuck *proof.Standstill) error {
	waiters := s.flush.Take() // R6: before the question is asked
	q := question{before: s.guard.Applied(), asked: s.cfg.Now()}
	lsn, proves, err := s.position(ctx, len(waiters) > 0, q.asked)
	waiters.Answer(lsn, err)
	if err != nil {
		return err
	}
	q.asked = proves
	reached, err := s.answered(q, lsn)
	if err != nil {
		return err
	}
	s.ahead.Fell(lsn, reached)
	if reached {
		stuck.Over()
		return nil
	}
	s.receiver.ask()
	stuck.Wait(len(waiters) > 0, lsn)
	if stuck.Lasts(lsn, s.guard.Applied()) {
		return proof.Nudge(ctx, s.side)
	}
	return nil
}

// answered takes the primary's answer, and tells whether all up to it has been
// applied. A server that was set back may be noticed here first: the
// replication connection can hang on the old one for a while.
func (s *session) answered(q question, lsn coherence.LSN) (bool, error) {
	if lsn < q.before {
		return false, &doubt{"behind", errSetBack(lsn, q.before)}
	}
	if filled := coherence.LSN(s.receiver.filled.Load()); filled > q.before {
		s.progress.Advance(min(filled, lsn)) // sent, and flushed now
	}
	return s.guard.Probe(lsn, q.asked), nil
}

// errSetBack says that the server's log ends before what was applied, which is
// never beyond what it has flushed.
func errSetBack(lsn, applied coherence.LSN) error {
	return fmt.Errorf("the server's log ends at %s, before %s up to which it has been applied: it was set back", lsn, applied)
}

// lookWhenAsked looks at the server whenever others have asked for it.
func (s *prober) lookWhenAsked(ctx context.Context) error {
	w := s.writer
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.Asked():
		}
		for ids := w.Requests(); len(ids) > 0; ids = w.Requests() {
			err := s.lookAnew(ctx)
			if goes, why := s.goesOn(ctx, "a look at the server", err); !goes {
				return why
			}
			if err == nil { // else no answer: they ask again
				w.Answer(ids)
			}
		}
	}
}

// lookAnew makes sure that new connections lead to the server of the session,
// and that its log has not gone back.
func (s *prober) lookAnew(ctx context.Context) error {
	side := s.beside(s.server)
	defer side.Close()
	q := question{before: s.guard.Applied(), asked: s.cfg.Now()}
	lsn, err := side.FlushPosition(ctx)
	if err != nil {
		return err
	}
	_, err = s.answered(q, lsn)
	return err
}
