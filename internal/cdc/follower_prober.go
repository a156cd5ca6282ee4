package cdc

import (
	"cmp"
	"context"
	"errors"
	"time"

	"walpurge/internal/cdc/primary"
	"walpurge/internal/cdc/proof"
	"walpurge/internal/coherence"
)

// prove renews the proof of freshness of a follower (R6), for ever: it asks
// the primary itself, and the relay has to bring everything up to the answer.
// No clock of another machine is involved.
func (f *follower) prove(ctx context.Context) error {
	tick := time.NewTicker(proof.FollowerInterval(f.maxLag()))
	defer tick.Stop()
	for ctx.Err() == nil {
		f.mu.Lock()
		proving, changed := f.mu.proving, f.mu.changed
		f.mu.Unlock()
		if !proving {
			select {
			case <-ctx.Done():
			case <-changed:
			}
			continue
		}
		f.proveTerm(ctx, tick)
	}
	return nil
}

// proveTerm proves until the leader's server, the epoch or the right to prove
// change.
func (f *follower) proveTerm(ctx context.Context, tick *time.Ticker) {
	f.mu.Lock()
	term, ok, changed := f.mu.term, f.mu.proving, f.mu.changed
	var expect primary.Server
	if ok {
		expect = serverOf(f.mu.announced.Server)
	}
	f.mu.Unlock()
	if !ok {
		return
	}
	side := f.beside(expect)
	defer side.Close()
	sight := &followerSight{follower: f}
	f.flush.Open()
	wake := f.flush.Waking()
	defer f.flush.Retire(wake, proof.ErrNotFollowing)
	stuck := proof.ForFollower()
	for ctx.Err() == nil {
		goes, err := f.probe(ctx, side, sight, term, &stuck)
		switch {
		case !goes:
			if err != nil {
				f.trouble("freshness", err)
			}
			return
		case err == nil:
			side.Rest(ctx, nil)
		case ctx.Err() == nil:
			f.misled(err)
			f.trouble("freshness", err)
			side.Rest(ctx, err)
		}
		select {
		case <-ctx.Done():
		case <-changed:
			return
		case <-tick.C:
		case <-wake:
		case <-stuck.Again(f.guard.Applied()):
		}
		tick.Reset(proof.FollowerInterval(f.maxLag()))
	}
}

// probe asks once. It reports whether the term goes on.
func (f *follower) probe(ctx context.Context, side *primary.Conn, sight *followerSight, term int, stuck *proof.Standstill) (bool, error) {
	waiters := f.flush.Take() // R6: before the question is asked
	before, asked := f.guard.Applied(), f.cfg.Now()
	lsn, asked, err := sight.position(ctx, side, len(waiters) > 0, asked)
	waiters.Answer(lsn, err)
	goes, proven := f.proves(term), false
	if err == nil {
		goes, proven, err = f.answered(question{term, before, asked}, lsn)
	}
	switch {
	case !goes || err != nil:
	case proven:
		stuck.Over()
	default:
		// When nobody waits, the leader sees to it.
		if stuck.Wait(len(waiters) > 0, lsn); len(waiters) > 0 {
			f.want()
		}
		if applied := f.guard.Applied(); stuck.Urgent(applied) && stuck.Lasts(lsn, applied) {
			err = proof.Nudge(ctx, side)
		}
	}
	return goes, err
}

// question is one to the primary: how far is its log flushed?
type question struct {
	term   int
	before coherence.LSN // what had been applied
	asked  coherence.Nanos
}

// proves tells whether term goes on.
func (f *follower) proves(term int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.term == term && f.mu.proving
}

// answered takes the primary's answer: whether the term goes on, and whether
// all of the log up to the answer has been applied.
func (f *follower) answered(q question, lsn coherence.LSN) (goes, proven bool, _ error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.term != q.term || !f.mu.proving {
		return false, false, nil
	}
	f.mu.elsewhere = ""
	if lsn < q.before {
		f.mu.doubt, f.mu.doubtedAt = "behind", f.mu.Seq
		f.review()
		return false, false, errSetBack(lsn, q.before)
	}
	return true, f.guard.Probe(lsn, q.asked), nil
}

// misled draws the consequences of err, with which the primary could not be
// asked.
func (f *follower) misled(err error) {
	if errors.Is(err, primary.ErrOtherServer) || errors.Is(err, primary.ErrOtherStart) {
		f.mu.Lock()
		f.mu.elsewhere = cmp.Or(f.mu.elsewhere, err.Error()) // who was turned away knows more
		f.mu.Unlock()
	}
	switch {
	case errors.Is(err, primary.ErrOtherServer):
		f.guard.Unprove()
	case doubtOf(err) != nil:
		// Another server than the announced one. It proves nothing here, and what it
		// is worth is found out by whoever is about to lead on it.
		f.guard.Unprove()
		f.foundOlder()
	}
}
