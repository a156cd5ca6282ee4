package primary

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Frames of the replication stream:
// https://www.postgresql.org/docs/current/protocol-replication.html.
const (
	XLogHeader    = 1 + 8 + 8 + 8 // 'w', start, end, clock
	KeepaliveSize = 1 + 8 + 8 + 1 // 'k', end, clock, reply requested
)

// LongAgo as a read deadline interrupts a read that waits.
var LongAgo = time.Unix(1, 0)

// CloseReplication ends the connection. One that was interrupted in the
// middle of a command is still asking the server to cancel it: a slot may be on
// its way.
func CloseReplication(ctx context.Context, conn *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
	select {
	case <-conn.CleanupDone():
	case <-ctx.Done():
	}
}
