package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"

	"walpurge/internal/subprocess"
)

// StartStandby makes a streaming replica of p, which runs, in dir, and starts it on a port of its own. It has p's
// settings and, as the exception to B4, p's system identifier. dir and ctx are as in StartPostgres.
func StartStandby(ctx context.Context, dir string, p *Postgres) (*Postgres, error) {
	ctx, cancel := withPatience(ctx)
	defer cancel()
	s := &Postgres{installation: p.installation, settings: p.settings}
	if err := s.place(dir); err != nil {
		return nil, fmt.Errorf("prepare %s: %w", dir, err)
	}
	if err := s.copyFrom(ctx, p); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := s.startSomewhere(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// copyFrom runs pg_basebackup(1) against p.
func (p *Postgres) copyFrom(ctx context.Context, primary *Postgres) error {
	if err := os.Mkdir(p.data(), 0o700); err != nil {
		return err
	}
	if err := p.installation.account.own(p.data()); err != nil {
		return err
	}
	log, offset, err := openLog(p.Log())
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd := p.installation.command(p.data(), "pg_basebackup", "--pgdata="+p.data(), "--host=127.0.0.1", "--port="+strconv.Itoa(primary.port),
		"--username=postgres", "--wal-method=stream", "--checkpoint=fast", "--write-recovery-conf", "--no-sync")
	cmd.Stdout, cmd.Stderr = log, log
	if err := subprocess.Run(ctx, cmd); err != nil {
		return startError(fmt.Errorf("run pg_basebackup: %w", err), p.Log(), offset)
	}
	return nil
}

// Promote makes a standby a primary on a timeline of its own, and returns when it takes writes.
func (p *Postgres) Promote(ctx context.Context) (err error) {
	ctx, cancel := withPatience(ctx)
	defer cancel()
	conn, err := pgx.Connect(ctx, p.URL("postgres"))
	if err != nil {
		return fmt.Errorf("promote: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	var promoted bool
	if err := conn.QueryRow(ctx, "SELECT pg_promote(true, 60)").Scan(&promoted); err != nil {
		return fmt.Errorf("promote: %w", err)
	}
	if !promoted {
		return errors.New("promote: the server is still a standby after a minute")
	}
	return nil
}

// NewStandby starts a standby of p for this test alone, closed at its end.
func NewStandby(t testing.TB, p *Postgres) *Postgres {
	t.Helper()
	dir, err := reserveDir("postgres")
	if err != nil {
		t.Fatalf("start a standby: %v", err)
	}
	s, err := StartStandby(context.Background(), dir, p)
	if err != nil {
		t.Fatalf("start a standby: %v", err)
	}
	adopt(t, s.Close, s.Log())
	return s
}
