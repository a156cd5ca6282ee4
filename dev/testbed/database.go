package testbed

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Database makes an empty database on the test binary's shared server and returns its URL. At the end of the test it
// is dropped with all that keeps it: sessions, replication slots, prepared transactions.
func Database(t testing.TB) string {
	t.Helper()
	server := Server(t)
	shared.Lock()
	shared.made++
	name := fmt.Sprintf("test%d", shared.made)
	shared.Unlock()

	url, err := server.CreateDatabase(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.dropDatabase(name); err != nil {
			t.Errorf("drop the database %s: %v", name, err)
		}
	})
	return url
}

// CreateDatabase makes an empty database and returns its URL. name goes into the statement as it is.
func (p *Postgres) CreateDatabase(ctx context.Context, name string) (url string, err error) {
	if err := execute(ctx, p.URL("postgres"), "CREATE DATABASE "+name); err != nil {
		return "", fmt.Errorf("create the database %s: %w", name, err)
	}
	return p.URL(name), nil
}

// execute runs one statement in a session of its own, for at most half a minute.
func execute(ctx context.Context, url, statement string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	_, err = conn.Exec(ctx, statement)
	return err
}

// dropDatabase drops name. Whoever reconnects after being cut off is kept out by ALLOW_CONNECTIONS, else a listener's
// retry could hold the slot again.
func (p *Postgres) dropDatabase(name string) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, p.URL("postgres"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()

	if err := p.rollBackPrepared(ctx, conn, name); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "ALTER DATABASE "+name+" ALLOW_CONNECTIONS false"); err != nil {
		return err
	}
	for {
		var sessions int
		if err := conn.QueryRow(ctx, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = $1", name).Scan(&sessions); err != nil {
			return err
		}
		if sessions == 0 {
			break
		}
		select {
		case <-time.After(pollInterval):
		case <-ctx.Done():
			return fmt.Errorf("%d sessions don't end: %w", sessions, ctx.Err())
		}
	}
	// Slots go with the database once nobody reads them.
	_, err = conn.Exec(ctx, "DROP DATABASE "+name+" WITH (FORCE)")
	return err
}

// rollBackPrepared ends the prepared transactions of database, which only a session in that database can do.
func (p *Postgres) rollBackPrepared(ctx context.Context, conn *pgx.Conn, database string) error {
	rows, err := conn.Query(ctx, "SELECT gid FROM pg_prepared_xacts WHERE database = $1", database)
	if err != nil {
		return err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := execute(ctx, p.URL(database), "ROLLBACK PREPARED "+quote(name)); err != nil {
			return err
		}
	}
	return nil
}
