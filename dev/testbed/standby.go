package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
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
	if err := s.follow(p); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := s.startSomewhere(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// follow makes the copy that p is a standby of primary.
func (p *Postgres) follow(primary *Postgres) error {
	conf := fmt.Sprintf("primary_conninfo = 'host=127.0.0.1 port=%d user=postgres'\n", primary.port)
	for name, content := range map[string]string{"standby.signal": "", "postgresql.auto.conf": conf} {
		file, err := os.OpenFile(filepath.Join(p.data(), name), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return err
		}
		_, err = file.WriteString(content)
		if err := errors.Join(err, file.Close()); err != nil {
			return err
		}
		if err := p.installation.account.own(file.Name()); err != nil {
			return err
		}
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
