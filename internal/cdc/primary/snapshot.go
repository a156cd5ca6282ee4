package primary

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"walpurge/internal/coherence"
)

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

// Snapshot asks for a snapshot, of which pg_current_snapshot() tells.
func Snapshot(ctx context.Context, conn *pgx.Conn) (coherence.Snapshot, error) {
	var text string
	if err := conn.QueryRow(ctx, SnapshotQuery).Scan(&text); err != nil {
		return coherence.Snapshot{}, fmt.Errorf("ask for a snapshot: %w", err)
	}
	return coherence.ParseSnapshot(text)
}
