package cdc

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"walpurge/internal/coherence"
	"walpurge/internal/retry"
)

const (
	snapshotQuery = "SELECT pg_current_snapshot()::text"

	horizonPause = 20 * time.Millisecond
	horizonLook  = time.Second // how often it is asked who is waited for
)

// passHorizon waits until every transaction that is open now has ended. One
// that was open when a table came into the publication may never be published
// for that table; one whose commit lies before a slot's start is not decoded
// and may not be visible yet. Nothing may be cached while one is open.
func (l *Listener) passHorizon(ctx context.Context, control *pgx.Conn) error {
	horizon, err := nextID(ctx, control)
	if err != nil {
		return err
	}
	see := l.waits("nothing is cached until the transactions that were open at the start have ended")
	defer see(nil)
	var asked time.Time
	for {
		now, err := snapshot(ctx, control)
		if err != nil {
			return err
		}
		if now.XMin > horizon {
			return nil
		}
		l.setState("waiting for open transactions", nil)
		if time.Since(asked) >= horizonLook {
			asked = time.Now()
			if found, err := askWaited(ctx, control, openQuery, strconv.FormatUint(horizon, 10)); err == nil { // else the next snapshot says why
				see(found)
			}
		}
		if !retry.Wait(ctx, horizonPause) {
			return ctx.Err()
		}
	}
}

// nextID takes a transaction id: all that are open have a smaller one. The
// xmax of a snapshot would not do: it follows the latest transaction that has
// ended, and those that are open beyond it are not even listed.
func nextID(ctx context.Context, control *pgx.Conn) (uint64, error) {
	tx, err := control.Begin(ctx)
	if err != nil {
		return 0, fmt.Errorf("take a transaction id: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	var text string
	if err := tx.QueryRow(ctx, "SELECT pg_current_xact_id()::text").Scan(&text); err != nil {
		return 0, fmt.Errorf("take a transaction id: %w", err)
	}
	id, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("take a transaction id: %w", err)
	}
	return id, nil
}

func snapshot(ctx context.Context, conn *pgx.Conn) (coherence.Snapshot, error) {
	var text string
	if err := conn.QueryRow(ctx, snapshotQuery).Scan(&text); err != nil {
		return coherence.Snapshot{}, fmt.Errorf("ask for a snapshot: %w", err)
	}
	return coherence.ParseSnapshot(text)
}
