package cdc

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

// side is an ordinary connection beside the replication connection, for one
// goroutine. It connects when it is needed, and makes sure each time that it
// has reached the server that the log comes from.
type side struct {
	l      *Listener
	expect server
	conn   *pgx.Conn
	wait   retry.Backoff
}

func newSide(l *Listener, expect server) *side {
	return &side{l: l, expect: expect, wait: retry.Backoff{Chance: l.cfg.Chance}}
}

// open returns the connection.
func (s *side) open(ctx context.Context) (*pgx.Conn, error) {
	if s.conn != nil && !s.conn.IsClosed() {
		return s.conn, nil
	}
	s.conn = nil
	conn, err := s.l.cfg.connect(ctx)
	var answer *pgconn.PgError
	if errors.As(err, &answer) && answer.Code == "57P03" { // cannot_connect_now
		return nil, fmt.Errorf("%w: %w", errShuttingDown, err)
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

// errShuttingDown says that the server takes no connections any more. It has
// ended those for queries, and its walsender stays until everything it has sent
// is confirmed. What is pending can't be: nobody is left to ask whether it is
// visible (R5). So the stream has to end, or the server never does.
var errShuttingDown = errors.New("the server is shutting down or starting")

// endsSession tells whether err on a side connection is more than trouble with
// that connection.
func endsSession(err error) bool {
	var doubted *doubt
	for _, end := range []error{errOtherServer, errOtherStart, errShuttingDown, errWaitedFor, errStreamGone, errRestart} {
		if errors.Is(err, end) {
			return true
		}
	}
	return errors.As(err, &doubted)
}

// goesOn tells whether the session goes on after what was done on a side
// connection, with err or without. If not, why is its end; nil: it was told to
// end. Trouble with that connection alone is noted.
func (s *session) goesOn(ctx context.Context, what string, err error) (goes bool, why error) {
	switch {
	case ctx.Err() != nil:
		return false, nil
	case endsSession(err):
		return false, err
	case err != nil:
		s.l.trouble(what, err)
	}
	return true, nil
}

// rest makes a pause after err, each longer than the one before, and none
// without one. It tells whether ctx goes on.
func (s *side) rest(ctx context.Context, err error) bool {
	if err != nil {
		return retry.Wait(ctx, s.wait.Next())
	}
	s.wait.Reset()
	return true
}

// verify asks who answers: behind one name there may be several servers. One
// that was started at another time, and whose log ends before what has been
// applied, is an older copy, or the server has been set back: that is a doubt.
func (s *side) verify(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	applied := s.l.guard.Applied()
	found, err := identify(ctx, conn)
	if err != nil {
		return err
	}
	if err = s.expect.expect(found); !errors.Is(err, errOtherStart) {
		return err
	}
	var text string
	if conn.QueryRow(ctx, flushQuery).Scan(&text) != nil {
		return err
	}
	lsn, failed := coherence.ParseLSN(text)
	if failed != nil {
		return err
	}
	return endsAt(err, lsn, applied)
}

// endsAt is err, an errOtherStart, of a server whose log ends at lsn. It names
// no positions: a follower may get it again and again, and says it once.
func endsAt(err error, lsn, applied coherence.LSN) error {
	if lsn < applied {
		return &doubt{"behind", fmt.Errorf("%w; its log ends before what has been applied, so it is an older copy or was set back", err)}
	}
	return err
}

// text runs a query without arguments for one text value, prepared the first
// time. A server that doesn't answer in time loses the connection.
func (s *side) text(ctx context.Context, query string) (string, error) {
	conn, err := s.open(ctx)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
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

// close ends the connection.
func (s *side) close() {
	if s.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.conn.Close(ctx)
		s.conn = nil
	}
}
