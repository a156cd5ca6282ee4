package cdc

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"walpurge/internal/coherence"
)

// server says which running server answers, and in what role. A copy of a
// cluster, such as a backup that was restored, has the system identifier and
// often the timeline of the original, and positions in its log look alike.
// What tells them apart is when they were started: within one run a server
// never goes back in its log.
type server struct {
	System   string // identifier of its cluster
	Timeline int32
	Started  int64 // when, in microseconds of Unix time by its clock
	recovery bool  // it is a standby
}

const (
	startQuery = "(extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint"

	serverQuery = `SELECT (pg_control_system()).system_identifier::text, pg_is_in_recovery(),
 CASE WHEN pg_is_in_recovery() THEN 0 ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END, ` + startQuery
)

// errOtherServer says that two connections reach different servers.
var errOtherServer = errors.New("the URL leads to different PostgreSQL servers; use one that leads to the primary only")

// errOtherStart says that the server that answers was not started when the one
// that the log comes from was: the server has restarted, or a copy of it
// answers. Which of the two, a session finds out.
var errOtherStart = errors.New("the server has restarted, or a copy of it answers")

// querier is a connection or a transaction.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// read asks who answers.
func (s *server) read(ctx context.Context, q querier) error {
	return q.QueryRow(ctx, serverQuery).Scan(&s.System, &s.recovery, &s.Timeline, &s.Started)
}

// identify asks who answers on conn.
func identify(ctx context.Context, conn *pgx.Conn) (server, error) {
	var s server
	if err := s.read(ctx, conn); err != nil {
		return s, fmt.Errorf("identify the server: %w", err)
	}
	return s, nil
}

// identifySender asks who answers on a replication connection, and how far
// its log is flushed.
func identifySender(ctx context.Context, conn *pgconn.PgConn) (server, coherence.LSN, error) {
	found, err := pglogrepl.IdentifySystem(ctx, conn)
	if err != nil {
		return server{}, 0, fmt.Errorf("identify the server: %w", err)
	}
	s := server{System: found.SystemID, Timeline: found.Timeline}
	results, err := conn.Exec(ctx, "SELECT "+startQuery).ReadAll()
	if err == nil && (len(results) != 1 || len(results[0].Rows) != 1) {
		err = errors.New("one row was expected")
	}
	if err == nil {
		s.Started, err = strconv.ParseInt(string(results[0].Rows[0][0]), 10, 64)
	}
	if err != nil {
		return server{}, 0, fmt.Errorf("ask when the server was started: %w", err)
	}
	return s, coherence.LSN(found.XLogPos), nil
}

// expect is an error unless found is s.
func (s server) expect(found server) error {
	switch {
	case found.System != s.System || found.Timeline != s.Timeline || found.recovery != s.recovery:
		return fmt.Errorf("%w: system %s on timeline %d is not %s on %d", errOtherServer, found.System, found.Timeline, s.System, s.Timeline)
	case found.Started != s.Started:
		return fmt.Errorf("%w: it was started at %s, and the one that the log comes from at %s", errOtherStart, found.since(), s.since())
	}
	return nil
}

// since is when it was started.
func (s server) since() string {
	return time.UnixMicro(s.Started).UTC().Format("2006-01-02 15:04:05.000000Z")
}
