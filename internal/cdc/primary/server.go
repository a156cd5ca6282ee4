package primary

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

// Server says which running server answers, and in what role. A copy of a
// cluster, such as a backup that was restored, has the system identifier and
// often the timeline of the original, and positions in its log look alike.
// What tells them apart is when they were started: within one run a server
// never goes back in its log.
type Server struct {
	System   string // identifier of its cluster
	Timeline int32  // of its log
	Started  int64  // when, in microseconds of Unix time by its clock
	Recovery bool   // it is a standby
}

const (
	// StartQuery asks when the server was started, in microseconds of Unix time.
	StartQuery = "(extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint"

	// ServerQuery asks who answers: the system, whether it is a standby, the timeline, the start.
	ServerQuery = `SELECT (pg_control_system()).system_identifier::text, pg_is_in_recovery(),
 CASE WHEN pg_is_in_recovery() THEN 0 ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END, ` + StartQuery
)

// ErrOtherServer says that two connections reach different servers.
var ErrOtherServer = errors.New("the URL leads to different PostgreSQL servers; use one that leads to the primary only")

// ErrOtherStart says that the server that answers was not started when the one
// that the log comes from was: the server has restarted, or a copy of it
// answers. Which of the two, a session finds out.
var ErrOtherStart = errors.New("the server has restarted, or a copy of it answers")

// Querier is a connection or a transaction.
type Querier interface {
	// QueryRow asks for one row.
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Read asks who answers.
func (s *Server) Read(ctx context.Context, q Querier) error {
	return q.QueryRow(ctx, ServerQuery).Scan(&s.System, &s.Recovery, &s.Timeline, &s.Started)
}

// Identify asks who answers on conn.
func Identify(ctx context.Context, conn *pgx.Conn) (Server, error) {
	var s Server
	if err := s.Read(ctx, conn); err != nil {
		return s, fmt.Errorf("identify the server: %w", err)
	}
	return s, nil
}

// IdentifySender asks who answers on a replication connection, and how far
// its log is flushed.
func IdentifySender(ctx context.Context, conn *pgconn.PgConn) (Server, coherence.LSN, error) {
	found, err := pglogrepl.IdentifySystem(ctx, conn)
	if err != nil {
		return Server{}, 0, fmt.Errorf("identify the server: %w", err)
	}
	s := Server{System: found.SystemID, Timeline: found.Timeline}
	results, err := conn.Exec(ctx, "SELECT "+StartQuery).ReadAll()
	if err == nil && (len(results) != 1 || len(results[0].Rows) != 1) {
		err = errors.New("one row was expected")
	}
	if err == nil {
		s.Started, err = strconv.ParseInt(string(results[0].Rows[0][0]), 10, 64)
	}
	if err != nil {
		return Server{}, 0, fmt.Errorf("ask when the server was started: %w", err)
	}
	return s, coherence.LSN(found.XLogPos), nil
}

// IdentifyBoth makes sure that two connections reach one and the same server,
// and returns who that is and how far its log is flushed. A standby is no
// error: it is refused, and told why, later.
func IdentifyBoth(ctx context.Context, control *pgx.Conn, replication *pgconn.PgConn) (Server, coherence.LSN, error) {
	found, err := Identify(ctx, control)
	if err != nil {
		return Server{}, 0, err
	}
	same, position, err := IdentifySender(ctx, replication)
	if err != nil {
		return Server{}, 0, err
	}
	if found.Recovery {
		same.Recovery, same.Timeline = true, found.Timeline
	}
	return found, position, found.Expect(same)
}

// Expect is an error unless found is s.
func (s Server) Expect(found Server) error {
	switch {
	case found.System != s.System || found.Timeline != s.Timeline || found.Recovery != s.Recovery:
		return fmt.Errorf("%w: system %s on timeline %d is not %s on %d", ErrOtherServer, found.System, found.Timeline, s.System, s.Timeline)
	case found.Started != s.Started:
		return fmt.Errorf("%w: it was started at %s, and the one that the log comes from at %s", ErrOtherStart, found.Since(), s.Since())
	}
	return nil
}

// Since is when it was started.
func (s Server) Since() string {
	return time.UnixMicro(s.Started).UTC().Format("2006-01-02 15:04:05.000000Z")
}
