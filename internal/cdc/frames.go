package cdc

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Frames of the replication stream:
// https://www.postgresql.org/docs/current/protocol-replication.html.
const (
	xlogHeader    = 1 + 8 + 8 + 8 // 'w', start, end, clock
	keepaliveSize = 1 + 8 + 8 + 1 // 'k', end, clock, reply requested
)

// longAgo as a read deadline interrupts a read that waits.
var longAgo = time.Unix(1, 0)

// closeReplication ends the connection. One that was interrupted in the
// middle of a command is still asking the server to cancel it: a slot may be on
// its way.
func closeReplication(ctx context.Context, conn *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
	select {
	case <-conn.CleanupDone():
	case <-ctx.Done():
	}
}
