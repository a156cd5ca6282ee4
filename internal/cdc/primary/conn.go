package primary

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"walpurge/internal/coherence"
	"walpurge/internal/retry"
)

// Conn is an ordinary connection beside the replication connection, for one
// goroutine. It connects when it is needed, and makes sure each time that it
// has reached the server that the log comes from.
type Conn struct {
	options Options
	expect  Server
	applied func() coherence.LSN
	conn    *pgx.Conn
	wait    retry.Backoff
}

// NewConn makes one that does not connect yet. applied is up to where the log
// has been applied; chance is that of the pauses after errors, see
// [retry.Backoff].
func NewConn(o Options, expect Server, applied func() coherence.LSN, chance func(time.Duration) time.Duration) *Conn {
	return &Conn{options: o, expect: expect, applied: applied, wait: retry.Backoff{Chance: chance}}
}

// Open returns the connection.
func (s *Conn) Open(ctx context.Context) (*pgx.Conn, error) {
	if s.conn != nil && !s.conn.IsClosed() {
		return s.conn, nil
	}
	s.conn = nil
	conn, err := s.options.Connect(ctx)
	var answer *pgconn.PgError
	if errors.As(err, &answer) && answer.Code == "57P03" { // cannot_connect_now
		return nil, fmt.Errorf("%w: %w", ErrShuttingDown, err)
	}
	if err != nil {
		return nil, err
	}
	if err := s.verify(ctx, conn); err != nil {
		return nil, errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
	}
	s.conn = conn
	return conn, nil
}

// ErrShuttingDown says that the server takes no connections any more. It has
// ended those for queries, and its walsender stays until everything it has sent
// is confirmed. What is pending can't be: nobody is left to ask whether it is
// visible (R5). So the stream has to end, or the server never does.
var ErrShuttingDown = errors.New("the server is shutting down or starting")

// Rest makes a pause after err, each longer than the one before, and none
// without one. It tells whether ctx goes on.
func (s *Conn) Rest(ctx context.Context, err error) bool {
	if err != nil {
		return retry.Wait(ctx, s.wait.Next())
	}
	s.wait.Reset()
	return true
}

// verify asks who answers: behind one name there may be several servers. One
// that was started at another time, and whose log ends before what has been
// applied, is an older copy, or the server has been set back: a BehindError.
func (s *Conn) verify(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, QueryTimeout)
	defer cancel()
	applied := s.applied()
	found, err := Identify(ctx, conn)
	if err != nil {
		return err
	}
	if err = s.expect.Expect(found); !errors.Is(err, ErrOtherStart) {
		return err
	}
	var text string
	if conn.QueryRow(ctx, FlushQuery).Scan(&text) != nil {
		return err
	}
	lsn, failed := coherence.ParseLSN(text)
	if failed != nil {
		return err
	}
	return EndsAt(err, lsn, applied)
}

// BehindError says that a server whose log ends before what has been applied
// answers, and was not started when the expected one was. It names no
// positions: a follower may get it again and again, and says it once.
type BehindError struct{ err error }

// Error is why the server is another one, and that it is behind.
func (e *BehindError) Error() string {
	return e.err.Error() + "; its log ends before what has been applied, so it is an older copy or was set back"
}

// Unwrap is ErrOtherStart, with what has answered.
func (e *BehindError) Unwrap() error { return e.err }

// EndsAt is err, an ErrOtherStart, of a server whose log ends at lsn.
func EndsAt(err error, lsn, applied coherence.LSN) error {
	if lsn < applied {
		return &BehindError{err}
	}
	return err
}

// FlushQuery asks how far the log is flushed, SnapshotQuery for a snapshot: one
// text value each.
const (
	FlushQuery    = "SELECT pg_current_wal_flush_lsn()::text"
	SnapshotQuery = "SELECT pg_current_snapshot()::text"
)

// FlushPosition asks how far the server's log is flushed.
func (s *Conn) FlushPosition(ctx context.Context) (coherence.LSN, error) {
	text, err := s.Text(ctx, FlushQuery)
	if err != nil {
		return 0, fmt.Errorf("ask for the flush position: %w", err)
	}
	return coherence.ParseLSN(text)
}

// Snapshot asks for a snapshot.
func (s *Conn) Snapshot(ctx context.Context) (coherence.Snapshot, error) {
	text, err := s.Text(ctx, SnapshotQuery)
	if err != nil {
		return coherence.Snapshot{}, fmt.Errorf("ask for a snapshot: %w", err)
	}
	return coherence.ParseSnapshot(text)
}

// Version asks for the server's version: server_version_num.
func (s *Conn) Version(ctx context.Context) (version int, err error) {
	conn, err := s.Open(ctx)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, QueryTimeout)
	defer cancel()
	err = conn.QueryRow(ctx, "SELECT current_setting('server_version_num')::int").Scan(&version)
	return version, err
}

// Text runs a query without arguments for one text value, prepared the first
// time. A server that doesn't answer in time loses the connection.
func (s *Conn) Text(ctx context.Context, query string) (string, error) {
	conn, err := s.Open(ctx)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, QueryTimeout)
	defer cancel()
	statement, err := conn.Prepare(ctx, query, query)
	if err != nil {
		return "", err
	}
	result := conn.PgConn().ExecPrepared(ctx, statement.Name, nil, nil, nil)
	var value string
	rows := 0
	for result.NextRow() {
		value = string(result.Values()[0])
		rows++
	}
	if _, err := result.Close(); err != nil {
		return "", err
	}
	if rows != 1 {
		return "", fmt.Errorf("%d rows instead of one", rows)
	}
	return value, nil
}

// Close ends the connection.
func (s *Conn) Close() {
	if s.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.conn.Close(ctx)
		s.conn = nil
	}
}
