package cdc

import (
	"context"

	"walpurge/internal/cdc/catalogue"
	"walpurge/internal/coherence"
)

// standing is where a session has found the server.
type standing struct {
	position coherence.LSN // up to which the log is flushed
	applied  coherence.LSN // what had been applied before that was asked
	slot     coherence.LSN // at which the slot stands
	provided string        // why the slot alone means a new epoch; empty: it doesn't
	setBack  bool          // it has been seen behind what was applied, and nobody leads on another
}

// plan is what a session is about to do with the history before it.
type plan struct {
	standing
	reason    string        // for a new epoch; empty: the history goes on
	unsettled coherence.LSN // commits below it may not be visible yet; 0: all are
	read      uint64        // the relay had been read up to this entry
}

// arrive reads what others have written, and notes what is applied then. Only
// after that is the server asked for its position: measured by one that was
// asked for before, what another process has led meanwhile would look like a
// log that was set back. Of what comes later, [session.lead] and the prober
// notice if it was.
func (s *session) arrive(ctx context.Context) standing {
	s.l.adopt(ctx)
	return standing{applied: s.l.guard.Applied()}
}

// plan decides whether the session continues the history. If not, nothing is
// proven any more from here on.
func (s *session) plan(ctx context.Context, found standing) plan {
	l := s.l
	l.adopt(ctx)
	p := plan{standing: found, reason: l.reason(s, found)}
	if l.follower != nil {
		p.unsettled, p.read = l.follower.unsettled(), l.follower.sequence()
	}
	if p.reason != "" {
		if l.follower != nil {
			l.follower.hesitate()
		}
		l.guard.Unprove()
	}
	// A history that goes on goes by what was accepted in it. What has changed since then is found
	// before anything is proven.
	s.sight.accept(s.catalogue.Look)
	if before := catalogue.ParseLook(l.history.fingerprint); p.reason == "" && before != nil {
		s.sight.accept(before)
	}
	return p
}

// waits tells whether the transactions that are open now have to end before
// the stream may start.
func (p *plan) waits() bool { return p.reason != "" || p.unsettled != 0 }

// startAt is where the stream has to start. REQUIRES: what p waits for is over.
func (s *session) startAt(p plan) coherence.LSN {
	if p.unsettled != 0 {
		s.l.follower.settle(p.unsettled)
	}
	if p.reason == "" {
		return max(p.slot, s.l.resumable())
	}
	return p.slot
}

// begin does as planned: the stream has started at at, and the slot is ours.
func (s *session) begin(ctx context.Context, p plan, at coherence.LSN) error {
	l := s.l
	if l.follower != nil {
		if err := s.lead(ctx, p, at); err != nil {
			return err
		}
	} else if p.reason != "" {
		l.newEpoch(p.reason, at)
	}
	l.settleLost(s.sight.accepted())
	l.noteLost(s.sight.accepted().Lost)
	l.history.server, l.history.fingerprint = s.server, s.sight.accepted().String()
	l.history.begun, l.history.doubt = true, ""
	return nil
}
