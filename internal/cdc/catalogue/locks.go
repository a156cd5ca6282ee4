package catalogue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"walpurge/internal/cdc/primary"
	"walpurge/internal/retry"
)

// All that comes to a table after a statement that waits for it waits too,
// reads included. So ours gives up soon, and comes again later. It gives up
// before deadlock_timeout, so that no transaction of the application is ever the
// one that is cancelled.
const (
	lockTimeout = 200 * time.Millisecond // of all statements of a try together
	lockTries   = 30
	lockPause   = 2 * time.Second
	lockLook    = lockTimeout / 10 // until it is asked whom a statement waits for
)

// lockPatience is how often a lock is asked for.
type lockPatience struct {
	tries int
	pause time.Duration
}

// runTogether runs statements in one transaction. Where somebody else has a
// lock that it needs, it says who, and tries again.
func (s *Scope) runTogether(ctx context.Context, conn *pgx.Conn, statements []string) error {
	if len(statements) == 0 {
		return nil
	}
	var deadlock int64
	if err := conn.QueryRow(ctx, "SELECT setting::bigint FROM pg_settings WHERE name = 'deadlock_timeout'").Scan(&deadlock); err != nil {
		return err
	}
	timeout := time.Duration(deadlock) * time.Millisecond
	short := max(min(lockTimeout, timeout/2), time.Millisecond)
	room := short
	p := s.locks
	if p.tries == 0 {
		p = lockPatience{lockTries, lockPause}
	}
	began := time.Now()
	var seen primary.Waited // whom it waited for when that was last asked
	for try := 1; ; try++ {
		err := s.Primary().Attend(ctx, conn.PgConn().PID(), lockLook, func(w primary.Waited) {
			if w != nil {
				seen = w
			}
		}, func() error { return runOnce(ctx, conn, statements, room) })
		if !lockedOut(err) {
			return err
		}
		by := "another session"
		if seen != nil {
			by = seen.String()
		}
		if try == p.tries {
			return fmt.Errorf("%w; the lock was held by %s at the last of %d tries in %s; nothing was changed",
				err, by, try, time.Since(began).Round(time.Second))
		}
		s.waiting("%s; the lock is held by %s; this was try %d of %d, the next is in %s; nothing has been changed yet, and Ctrl-C ends it", lockedText(err), by, try, p.tries, p.pause)
		room = short
		if seen.Vacuums() {
			room = timeout + lockTimeout // the server ends an autovacuum for whoever waits for so long
		}
		if !retry.Wait(ctx, p.pause) {
			return fmt.Errorf("%w while a lock was waited for; nothing was changed", ctx.Err())
		}
	}
}

// statementError is a statement that failed.
type statementError struct {
	statement string
	err       error
}

// Error is what went wrong, behind the statement.
func (e *statementError) Error() string { return e.statement + ": " + e.err.Error() }

// Unwrap is what went wrong.
func (e *statementError) Unwrap() error { return e.err }

// lockedText is what a statement waits for, in short.
func lockedText(err error) string {
	var failed *statementError
	if errors.As(err, &failed) {
		return failed.statement
	}
	return err.Error()
}

// runOnce runs them, and waits no longer than room for all locks together.
func runOnce(ctx context.Context, conn *pgx.Conn, statements []string, room time.Duration) error {
	over := time.Now().Add(room)
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		for _, s := range statements {
			left := max(time.Until(over).Milliseconds(), 1) // 0 would be for ever
			if _, err := tx.Exec(ctx, fmt.Sprintf("SET LOCAL lock_timeout = %d", left)); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, s); err != nil {
				return &statementError{s, err}
			}
		}
		return nil
	})
}

// lockedOut tells whether err says that somebody else has a lock.
func lockedOut(err error) bool {
	var answer *pgconn.PgError
	return errors.As(err, &answer) && (answer.Code == "55P03" || answer.Code == "40P01") // lock_not_available, deadlock_detected
}

// execAttended runs a statement that may wait for transactions that are open,
// and says whom it waits for.
func (s *Scope) execAttended(ctx context.Context, conn *pgx.Conn, statement string) error {
	told := primary.Sayer{Say: func(text string) { s.waiting("%s waits for %s to end; Ctrl-C ends it", statement, text) }}
	return s.Primary().Attend(ctx, conn.PgConn().PID(), primary.WaitLook, told.See, func() error {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return &statementError{statement, err}
		}
		return nil
	})
}

// waiting is where Setup and Inspect say whom they wait for.
func (s *Scope) waiting(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if s.Waiting != nil {
		s.Waiting(text)
		return
	}
	s.Log().Warn(text)
}
