package catalogue

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"walpurge/internal/coherence"
)

// pieceSize is how much of open transactions the server gathers, in KiB, before
// it streams a piece of the largest. What is left of one at its commit is
// about as much, and holds up all that comes after it in the log.
const pieceSize = 1 << 10

// transactionTimeoutVersion is PostgreSQL 17.
const transactionTimeoutVersion = 170000

// settings are what the walsender is told once it is known which server it
// belongs to.
func (c *Catalogue) settings() (statements []string) {
	if c.DecodingRoom > pieceSize {
		statements = append(statements, fmt.Sprintf("SET logical_decoding_work_mem = %d", pieceSize))
	}
	if c.Version >= transactionTimeoutVersion {
		// The walsender is inside a transaction while it sends one of ours. On a slow network it would
		// be ended each time at the same place.
		statements = append(statements, "SET transaction_timeout = 0")
	}
	return statements
}

// StartStream starts the stream of slot at at; the slot's server is what c
// says. A slot that somebody else holds is an ErrSlotInUse.
func (s *Scope) StartStream(ctx context.Context, on *pgconn.PgConn, c *Catalogue, slot string, at coherence.LSN) error {
	for _, set := range c.settings() {
		if _, err := on.Exec(ctx, set).ReadAll(); err != nil {
			return fmt.Errorf("%s: %w", set, err)
		}
	}
	names := "publication_names " + QuoteText(quoteAlways(s.Publication))
	err := pglogrepl.StartReplication(ctx, on, slot, pglogrepl.LSN(at), pglogrepl.StartReplicationOptions{
		Mode: pglogrepl.LogicalReplication, PluginArgs: []string{"proto_version '2'", "streaming 'on'", "messages 'true'", names},
	})
	var answer *pgconn.PgError
	if errors.As(err, &answer) && answer.Code == "55006" { // object_in_use
		return fmt.Errorf("%w: %w", ErrSlotInUse, err)
	}
	if err != nil {
		return fmt.Errorf("start replication: %w", err)
	}
	return nil
}

// ConfirmStream makes sure that the stream of slot starts where it was asked
// to, and that the server doesn't wait for us.
func ConfirmStream(ctx context.Context, control *pgx.Conn, slot string, at coherence.LSN) error {
	now, err := FindSlot(ctx, control, slot)
	switch {
	case err != nil:
		return fmt.Errorf("read slot %s: %w", slot, err)
	case now == nil:
		return fmt.Errorf("slot %s has gone", slot)
	case now.Confirmed > at:
		return fmt.Errorf("slot %s has moved from %s to %s while it was taken: somebody else reads it", slot, at, now.Confirmed)
	}
	return CheckAsynchronous(ctx, control, now.PID)
}

// UndecodableError says that the stream ended because its publication was not there.
type UndecodableError struct {
	publication string
	err         error
}

// Error is what the server said, and which changes it can't decode.
func (e *UndecodableError) Error() string {
	return fmt.Sprintf("%v: the log has changes from when publication %s was not there", e.err, e.publication)
}

// Unwrap is what the server said.
func (e *UndecodableError) Unwrap() error { return e.err }

// StreamFailed is the error with which the server ends the stream.
func (s *Scope) StreamFailed(answer *pgconn.PgError) error {
	err := fmt.Errorf("receive: %w", answer)
	if answer.Code == "42704" { // undefined_object: of what decoding looks up by name there is the publication alone
		return &UndecodableError{s.Publication, err}
	}
	return err
}
