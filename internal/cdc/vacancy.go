package cdc

import (
	"context"
	"time"

	"walpurge/internal/retry"
)

// Pauses between two looks at the slot.
const (
	vacancyPause = 500 * time.Millisecond
	eagerPause   = 20 * time.Millisecond // when the leader has said that it leaves,
	eagerFor     = 2 * time.Second       // for so long
)

// awaitVacancy waits until the slot may be asked for, and tells whether ctx
// goes on.
func (f *follower) awaitVacancy(ctx context.Context) bool {
	for {
		if !f.taken(ctx) {
			return ctx.Err() == nil
		}
		f.setState("the slot is held by another process", nil)
		if !f.pauseForVacancy(ctx) {
			return false
		}
	}
}

// pauseForVacancy waits until the next look, and tells whether ctx goes on.
func (f *follower) pauseForVacancy(ctx context.Context) bool {
	timer := time.NewTimer(vacancyPause)
	defer timer.Stop()
	for {
		f.mu.Lock()
		left, changed := f.mu.left, f.mu.changed
		f.mu.Unlock()
		if time.Since(left) < eagerFor {
			return retry.Wait(ctx, eagerPause)
		}
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case <-changed:
		}
	}
}

// taken tells whether somebody is known to hold the slot. What stands in the
// way of knowing is for the attempt to take it to report.
func (f *follower) taken(ctx context.Context) bool {
	slot, err := f.vacancy.Look(ctx, &f.cfg.Scope)
	if err != nil {
		return false
	}
	f.noteSlot(f.cfg.Slot, slot)
	return slot != nil && slot.Active
}
