package primary

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"walpurge/internal/coherence"
)

// Emit writes a transactional message and returns a position at or after its
// commit. The commit is flushed here and waits for no standby, so the flush
// position is such a position, and one that is reached.
func Emit(ctx context.Context, conn *pgx.Conn, prefix, content string) (coherence.LSN, error) {
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL synchronous_commit = local"); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "SELECT pg_logical_emit_message(true, $1, $2::text)", prefix, content)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("write a logical message: %w", err)
	}
	var at string
	if err := conn.QueryRow(ctx, FlushQuery).Scan(&at); err != nil {
		return 0, fmt.Errorf("ask for the flush position: %w", err)
	}
	return coherence.ParseLSN(at)
}
