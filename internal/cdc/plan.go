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
func (o *opening) arrive(ctx context.Context) standing {
	o.adopt(ctx)
	return standing{applied: o.guard.Applied()}
}

// plan decides whether the session continues the history. If not, nothing is
// proven any more from here on.
func (o *opening) plan(ctx context.Context, found standing) plan {
	o.adopt(ctx)
	p := plan{standing: found, reason: o.reason(found)}
	if o.follower != nil {
		p.unsettled, p.read = o.follower.unsettled(), o.follower.sequence()
	}
	if p.reason != "" {
		if o.follower != nil {
			o.follower.hesitate()
		}
		o.guard.Unprove()
	}
	// A history that goes on goes by what was accepted in it. What has changed since then is found
	// before anything is proven.
	o.sight.accept(o.catalogue.Look)
	if before := catalogue.ParseLook(o.history.fingerprint); p.reason == "" && before != nil {
		o.sight.accept(before)
	}
	return p
}

// waits tells whether the transactions that are open now have to end before
// the stream may start.
func (p *plan) waits() bool { return p.reason != "" || p.unsettled != 0 }

// startAt is where the stream has to start. REQUIRES: what p waits for is over.
func (o *opening) startAt(p plan) coherence.LSN {
	if p.unsettled != 0 {
		o.follower.settle(p.unsettled)
	}
	if p.reason == "" {
		return max(p.slot, o.resumable())
	}
	return p.slot
}

// begin does as planned: the stream has started at at, and the slot is ours.
func (o *opening) begin(ctx context.Context, p plan, at coherence.LSN) error {
	if o.follower != nil {
		if err := o.lead(ctx, p, at); err != nil {
			return err
		}
	} else if p.reason != "" {
		o.newEpoch(p.reason, at)
	}
	o.settleLost(o.sight.accepted())
	o.noteLost(o.sight.accepted().Lost)
	o.history.server, o.history.fingerprint = o.server, o.sight.accepted().String()
	o.history.begun, o.history.doubt = true, ""
	return nil
}
