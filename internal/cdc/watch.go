package cdc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// watchInterval is how often the catalogue and the slot are looked at. A
// change of the schema that no row message shows, such as a partition that is
// attached, is noticed after that long.
const watchInterval = time.Second

// watch looks after what the stream doesn't show: the catalogue, the slot,
// and whether the server has begun to wait for us.
func (s *session) watch(ctx context.Context) error {
	side := newSide(s.l, s.server)
	defer side.close()
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	inactive := 0
	for {
		reason := "catalogue"
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-s.suspicion:
			reason = "schema"
		}
		err := s.look(ctx, side, reason, &inactive)
		if goes, why := s.goesOn(ctx, "catalogue", err); !goes {
			return why
		}
		if !side.rest(ctx, err) {
			return nil
		}
	}
}

// errStreamGone says that the server has given up our stream.
var errStreamGone = errors.New("nobody reads the slot any more: the server has ended our stream")

// look looks once.
func (s *session) look(ctx context.Context, side *side, reason string, inactive *int) error {
	conn, err := side.open(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	old, err := s.askOldest(ctx, conn) // before the catalogue is looked at
	if err != nil {
		return err
	}
	statement, args := fingerprintStatement(s.catalogue.Version, &s.l.cfg)
	var sum string
	if err := conn.QueryRow(ctx, statement, args...).Scan(&sum); err != nil {
		return fmt.Errorf("fingerprint the catalogue: %w", err)
	}
	if sum != s.catalogue.fingerprint {
		return &doubt{reason, errors.New("the publication or a watched table has changed")}
	}
	s.l.ahead.baseline.accept(old, s.front.position())
	now, err := findSlot(ctx, conn, s.slot)
	if err != nil {
		return fmt.Errorf("read slot %s: %w", s.slot, err)
	}
	s.l.noteSlot(s.slot, now)
	if now == nil || !now.active {
		// The server may be a moment behind when a stream starts or ends.
		if *inactive++; *inactive >= 3 {
			return errStreamGone
		}
		return nil
	}
	*inactive = 0
	return checkAsynchronous(ctx, conn, now.pid)
}

// errWaitedFor says that commits of the application wait for us, while we wait
// for them to become visible (R4, R5).
var errWaitedFor = errors.New("synchronous_standby_names makes this proxy a synchronous standby; " + standbyMend)

// checkAsynchronous makes sure that the walsender pid is none that commits
// wait for: https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-REPLICATION-VIEW.
func checkAsynchronous(ctx context.Context, conn *pgx.Conn, pid uint32) error {
	var state, names string
	err := conn.QueryRow(ctx, `SELECT coalesce((SELECT sync_state FROM pg_stat_replication WHERE pid = $1), ''),
 current_setting('synchronous_standby_names')`, int32(pid)).Scan(&state, &names)
	if err != nil {
		return fmt.Errorf("read the state of our stream: %w", err)
	}
	// Without pg_read_all_stats a role sees no state, not even its own.
	if state == "async" || state == "" && !listsUs(names) {
		return nil
	}
	return fmt.Errorf("%w (the setting is %q)", errWaitedFor, names)
}
