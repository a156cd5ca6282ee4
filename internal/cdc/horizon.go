package cdc

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"walpurge/internal/cdc/primary"
	"walpurge/internal/retry"
)

const horizonPause = 20 * time.Millisecond

// passHorizon waits until every transaction that is open now has ended. One
// that was open when a table came into the publication may never be published
// for that table; one whose commit lies before a slot's start is not decoded
// and may not be visible yet. Nothing may be cached while one is open.
func (h *shared) passHorizon(ctx context.Context, control *pgx.Conn) error {
	horizon, err := primary.NewHorizon(ctx, control)
	if err != nil {
		return err
	}
	see := h.waits("nothing is cached until the transactions that were open at the start have ended")
	defer see(nil)
	for {
		passed, err := horizon.Passed(ctx, control, see)
		if err != nil || passed {
			return err
		}
		h.setState("waiting for open transactions", nil)
		if !retry.Wait(ctx, horizonPause) {
			return ctx.Err()
		}
	}
}

// waits returns what notes for /status whom the listener waits for, nil when the
// wait is over, and logs it with message when it lasts.
func (h *shared) waits(message string) func(primary.Waited) {
	s := primary.Sayer{After: time.Now().Add(primary.WaitShort), Say: func(text string) { h.log.Warn(message, "waiting_for", text) }}
	return func(w primary.Waited) {
		h.mu.Lock()
		h.mu.status.WaitingFor = w.String()
		h.mu.Unlock()
		s.See(w)
	}
}

// waitsForSlot returns what notes whom the server waits for before it makes
// the slot.
func (h *shared) waitsForSlot() func(primary.Waited) {
	see := h.waits("the server makes the slot once the transactions that are open now have ended")
	return func(w primary.Waited) {
		if w != nil {
			h.setState("waiting for open transactions", nil)
		}
		see(w)
	}
}
