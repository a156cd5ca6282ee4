package catalogue

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"walpurge/internal/cdc/primary"
	"walpurge/internal/coherence"
)

// Slot is what pg_replication_slots says of one slot:
// https://www.postgresql.org/docs/current/view-pg-replication-slots.html.
type Slot struct {
	name      string
	kind      string
	plugin    string
	database  string
	temporary bool
	Active    bool   // somebody holds it
	PID       uint32 // of who holds it
	WALStatus string // pg_replication_slots.wal_status; empty: the server says none
	cause     string // why it was invalidated, from PostgreSQL 17 on; empty: it was not, or nobody says
	twoPhase  bool
	Confirmed coherence.LSN // where it stands
	Retained  int64         // bytes of WAL that it keeps
}

// SlotQuery asks for the slot $1.
const SlotQuery = `SELECT slot_name::text, slot_type, coalesce(plugin::text, ''), coalesce(database::text, ''), temporary, active,
 coalesce(active_pid, 0), coalesce(wal_status, ''), coalesce(two_phase, false),
 coalesce(confirmed_flush_lsn, '0/0')::text, coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::bigint,
 coalesce(to_jsonb(s)->>'invalidation_reason', '')
FROM pg_replication_slots s WHERE slot_name = $1`

// ErrSlotInUse says that somebody else reads the slot: another proxy, or our
// own connection of a moment ago that the server hasn't given up yet.
var ErrSlotInUse = errors.New("the replication slot is in use by another connection")

// Taken tells whether err says that another process has the slot, or has just
// made it.
func Taken(err error) bool {
	var answer *pgconn.PgError
	return errors.Is(err, ErrSlotInUse) || errors.As(err, &answer) && answer.Code == "42710" // duplicate_object
}

// FindSlot reads a slot; nil if there is none.
func FindSlot(ctx context.Context, q primary.Querier, name string) (*Slot, error) {
	s := &Slot{}
	var confirmed string
	err := q.QueryRow(ctx, SlotQuery, name).Scan(&s.name, &s.kind, &s.plugin, &s.database, &s.temporary, &s.Active, &s.PID,
		&s.WALStatus, &s.twoPhase, &confirmed, &s.Retained, &s.cause)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s.Confirmed, err = coherence.ParseLSN(confirmed)
	return s, err
}

// failoverVersion is PostgreSQL 17: the first whose standbys can keep a copy of
// a slot (https://www.postgresql.org/docs/17/logicaldecoding-explanation.html#LOGICALDECODING-REPLICATION-SLOTS-SYNCHRONIZATION).
const failoverVersion = 170000

// slotStatement is the SQL that makes the slot name.
func slotStatement(name string, version int) string {
	options := ""
	if version >= failoverVersion {
		options = ", failover => true"
	}
	return "SELECT pg_create_logical_replication_slot(" + QuoteText(name) + ", 'pgoutput'" + options + ")"
}

// slotCommand is the same for a replication connection, where no transaction
// is open meanwhile. A temporary slot does not outlive its connection.
func slotCommand(name string, temporary bool, version int) string {
	switch {
	case temporary:
		return "CREATE_REPLICATION_SLOT " + name + " TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT"
	case version >= failoverVersion:
		return "CREATE_REPLICATION_SLOT " + name + " LOGICAL pgoutput (SNAPSHOT 'nothing', FAILOVER)"
	}
	return "CREATE_REPLICATION_SLOT " + name + " LOGICAL pgoutput NOEXPORT_SNAPSHOT"
}

// again is the SQL that makes the slot name in place of the one that is there.
func again(name string, version int) []string {
	return []string{"SELECT pg_drop_replication_slot(" + QuoteText(name) + ")", slotStatement(name, version)}
}

// Lost tells whether the WAL that the slot needs is gone, or will be: the server
// lets nobody read from it.
func (s *Slot) Lost() bool { return s.WALStatus == "lost" }

// WhyLost is why the slot is lost, for people.
func (s *Slot) WhyLost() string {
	if s.cause == "idle_timeout" { // PostgreSQL 18
		return "nobody has read it for longer than idle_replication_slot_timeout"
	}
	return "its WAL was removed"
}

func (ins *Inspection) readSlot(ctx context.Context) error {
	s, err := FindSlot(ctx, ins.tx, ins.cfg.Slot)
	if err != nil || s == nil {
		return err
	}
	ins.Catalogue.slot = s
	another := "set postgres.slot to another name, or drop it: SELECT pg_drop_replication_slot(" + QuoteText(s.name) + ")"
	refuse := func(format string, args ...any) { ins.refused.server(another, "slot "+s.name+" "+format, args...) }
	switch {
	case s.kind != "logical":
		refuse("is a %s one", s.kind)
	case s.plugin != "pgoutput":
		refuse("has the plugin %s and not pgoutput", s.plugin)
	case s.database != ins.server.database:
		refuse("belongs to database %s and not to %s", s.database, ins.server.database)
	case s.temporary:
		refuse("is a temporary one of another connection")
	case s.twoPhase:
		refuse("decodes prepared transactions before they commit (two_phase)")
	}
	return nil
}
