package catalogue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"walpurge/internal/cdc/primary"
	"walpurge/internal/coherence"
)

// A slot decodes each change by the catalogue as it was at that change. Before
// PostgreSQL 18 it is an error if there was no publication of the name then: it
// had been dropped, renamed, or not been made yet. The change stays the next to be
// decoded, for ever, whatever there is now. Only another slot, which begins after it,
// helps.
// https://www.postgresql.org/docs/18/release-18.html (missing publications are ignored)

// forgivingVersion is PostgreSQL 18.
const forgivingVersion = 180000

// ReasonPublication is why such a slot means a new epoch.
const ReasonPublication = "publication"

// Stuck is a slot that can't be read on.
type Stuck struct {
	Server primary.Server // whose slot it is
	At     coherence.LSN  // applied by then: what can't be decoded comes after it
}

// is tells whether it is the slot that is there now. One that somebody has made
// again since stands behind what could not be decoded.
func (k *Stuck) is(s *Slot, on primary.Server) bool {
	return k != nil && s.Confirmed <= k.At && k.Server.System == on.System && k.Server.Timeline == on.Timeline
}

// dropSlot drops a slot that is ours and that nobody holds.
func dropSlot(ctx context.Context, conn *pgx.Conn, name string) error {
	_, err := conn.Exec(ctx, "SELECT pg_drop_replication_slot($1)", name)
	var answer *pgconn.PgError
	switch {
	case errors.As(err, &answer) && answer.Code == "55006": // object_in_use
		return fmt.Errorf("%w: %w", ErrSlotInUse, err)
	case errors.As(err, &answer) && answer.Code == "42704": // undefined_object: somebody else has dropped it
		return nil
	}
	return err
}

// Bounds of a look into a slot.
const (
	peekTimeout = 2 * time.Second
	peekChanges = 1000
)

// A publication that was written before everything that the slot may still need
// of the catalogue has been there all the time. Written later, it may have been or
// not: then the slot says so itself. peekQuery reads on from where the slot stands
// and moves nothing; it holds the slot for as long as it takes.
const (
	suspectQuery = `SELECT p.oid IS NULL OR age(p.xmin) <= age(s.catalog_xmin) FROM pg_replication_slots s LEFT JOIN pg_publication p ON p.pubname = $2
WHERE s.slot_name = $1 AND NOT s.active AND s.plugin = 'pgoutput'`
	peekQuery = `SELECT count(*) FROM pg_logical_slot_peek_binary_changes($1, NULL, $2, 'proto_version', '1', 'publication_names', $3)`
)

// slotIsStuck tells whether the slot of the configuration is known not to be
// readable. A slot that somebody holds is that one's to look after, and of one that
// can't be looked into in time nothing is known: who reads it will find out.
func (ins *Inspection) slotIsStuck(ctx context.Context, conn *pgx.Conn) (bool, error) {
	if ins.server.version >= forgivingVersion || ins.cfg.Temporary || len(ins.refused) > 0 || ins.Catalogue.slot == nil || ins.Catalogue.slot.Lost() {
		return false, nil
	}
	var suspect bool
	err := conn.QueryRow(ctx, suspectQuery, ins.cfg.Slot, ins.cfg.Publication).Scan(&suspect)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && !suspect {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at slot %s: %w", ins.cfg.Slot, err)
	}
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, fmt.Sprintf("SET LOCAL statement_timeout = %d", peekTimeout.Milliseconds())); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, peekQuery, ins.cfg.Slot, peekChanges, quoteAlways(ins.cfg.Publication))
		return err
	})
	var answer *pgconn.PgError
	if errors.As(err, &answer) {
		return answer.Code == "42704", nil
	}
	return false, err
}

// StuckSlot says in words that the slot can't be read on, and what happens next;
// empty: nothing is known of that.
func StuckSlot(ctx context.Context, cfg Scope) (string, error) {
	conn, err := cfg.Primary().Connect(ctx)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	ins, err := cfg.InspectOn(ctx, conn)
	if err != nil {
		return "", err
	}
	found, err := ins.slotIsStuck(ctx, conn)
	if !found {
		return "", err
	}
	return fmt.Sprintf("slot %s can't be read on: the log has changes from when publication %s was not there (dropped, renamed, or not made yet); `proxy setup`, or the next `proxy run`, makes the slot again, which is a new epoch",
		cfg.Slot, cfg.Publication), nil
}
