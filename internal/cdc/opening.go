package cdc

import (
	"context"

	"github.com/jackc/pgx/v5"

	"walpurge/internal/cdc/catalogue"
	"walpurge/internal/cdc/pgoutput"
	"walpurge/internal/cdc/primary"
	"walpurge/internal/coherence"
)

// opening is a session up to the start of its stream.
type opening struct {
	*session
	control *pgx.Conn
	history *history // what the session has to continue to stay in the epoch
}

// prepare does all that doc.go lists, up to the start of the stream.
func (o *opening) prepare(ctx context.Context) error {
	found := o.arrive(ctx)
	var err error
	if o.server, found.position, err = primary.IdentifyBoth(ctx, o.control, o.receiver.replication); err != nil {
		return err
	}
	if found.setBack, err = o.hearLeader(ctx, found); err != nil {
		return err
	}
	if found.slot, found.provided, err = o.provide(ctx); err != nil {
		return err
	}
	p := o.plan(ctx, found)
	if p.waits() {
		if err := o.passHorizon(ctx, o.control); err != nil {
			return err
		}
	}
	at := o.startAt(p)
	o.from = at
	o.progress.stream(at)
	if err := o.cfg.StartStream(ctx, o.receiver.replication, o.catalogue, o.slot, at); err != nil {
		return err
	}
	if err := catalogue.ConfirmStream(ctx, o.control, o.slot, at); err != nil {
		return err
	}
	o.receiver.current.Store(o.catalogue)
	o.receiver.decoder = pgoutput.NewDecoder(o.catalogue.Schema(), o.guard.Tables(), o.cfg.BulkRows)
	o.receiver.interval = o.catalogue.StatusInterval
	o.ahead = o.reader()
	return o.begin(ctx, p, at)
}

// provide checks the catalogue and finds or makes publication and slot.
func (o *opening) provide(ctx context.Context) (at coherence.LSN, reason string, err error) {
	old, err := o.askOldest(ctx, o.control)
	if err != nil {
		return 0, "", err
	}
	o.readAhead.Baseline.Begin(old)
	found, err := o.cfg.Provide(ctx, o.control, &catalogue.Wants{
		Server: o.server, Replication: o.receiver.replication, Tables: o.guard.Tables(), Everything: o.guard.Epoch() == 0, Stuck: o.history.stuck, Waits: o.waitsForSlot,
	})
	if err != nil {
		return 0, "", err
	}
	o.catalogue, o.slot, o.history.stuck = found.Catalogue, found.Slot, nil
	return found.At, found.Reason, nil
}

// arrive reads what others have written, and notes what is applied then. Only
// after that is the server asked for its position: measured by one that was
// asked for before, what another process has led meanwhile would look like a
// log that was set back. Of what comes later, [opening.lead] and the prober
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
