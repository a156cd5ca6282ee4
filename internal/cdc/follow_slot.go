package cdc

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"walpurge/internal/cdc/catalogue"
	"walpurge/internal/cdc/primary"
	"walpurge/internal/retry"
)

// Pauses between two looks at the slot.
const (
	vacancyPause = 500 * time.Millisecond
	eagerPause   = 20 * time.Millisecond // when the leader has said that it leaves,
	eagerFor     = 2 * time.Second       // for so long
)

// vacancy looks whether somebody holds the slot. It is one small query on a
// connection that stays, where asking for the slot itself takes two new
// connections and a look at the whole catalogue.
type vacancy struct {
	*shared
	conn *pgx.Conn
}

// awaitVacancy waits until the slot may be asked for, and tells whether ctx
// goes on.
func (f *follower) awaitVacancy(ctx context.Context) bool {
	for {
		if !f.vacancy.taken(ctx) {
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
func (v *vacancy) taken(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, primary.QueryTimeout)
	defer cancel()
	if v.conn == nil || v.conn.IsClosed() {
		conn, err := v.cfg.Primary().Connect(ctx)
		if err != nil {
			return false
		}
		v.conn = conn
	}
	slot, err := catalogue.FindSlot(ctx, v.conn, v.cfg.Slot)
	if err != nil {
		v.close()
		return false
	}
	v.noteSlot(v.cfg.Slot, slot)
	return slot != nil && slot.Active
}

func (v *vacancy) close() {
	if v.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = v.conn.Close(ctx)
		v.conn = nil
	}
}
