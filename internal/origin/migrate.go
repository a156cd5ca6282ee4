package origin

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migrationLock is the key of the advisory lock that lets one migration run at
// a time; any number does as long as it never changes.
const migrationLock int64 = 0x6c697374696e6773

type migration struct {
	version int
	name    string
	sql     string
}

// migrations returns the embedded files in order. They are numbered from 1
// without gaps; anything else is a fault in this program.
func migrations() ([]migration, error) {
	entries, err := fs.ReadDir(migrationFiles, "migrations")
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	var all []migration
	for i, entry := range entries {
		number, name, _ := strings.Cut(strings.TrimSuffix(entry.Name(), ".sql"), "_")
		version, err := strconv.Atoi(number)
		if err != nil || version != i+1 {
			return nil, fmt.Errorf("read migrations: %s is not number %d", entry.Name(), i+1)
		}
		text, err := fs.ReadFile(migrationFiles, "migrations/"+entry.Name())
		if err != nil {
			return nil, fmt.Errorf("read migrations: %w", err)
		}
		all = append(all, migration{version: version, name: name, sql: string(text)})
	}
	return all, nil
}

// Migrate brings the schema to the version this program needs and returns that
// version and how many migrations it had to apply. Each one commits together with
// its row in schema_migrations, and an advisory lock keeps two callers apart:
// the second waits, then finds nothing left to do.
func Migrate(ctx context.Context, conn *pgx.Conn) (version, applied int, err error) {
	all, err := migrations()
	if err != nil {
		return 0, 0, err
	}
	if _, err := conn.Exec(ctx, "select pg_advisory_lock($1)", migrationLock); err != nil {
		return 0, 0, fmt.Errorf("lock migrations: %w", err)
	}
	defer func() {
		// Should this fail, the lock ends with the connection.
		_, unlockErr := conn.Exec(context.WithoutCancel(ctx), "select pg_advisory_unlock($1)", migrationLock)
		if err == nil && unlockErr != nil {
			err = fmt.Errorf("unlock migrations: %w", unlockErr)
		}
	}()

	_, err = conn.Exec(ctx, `create table if not exists public.schema_migrations (
		version int primary key, name text not null, applied_at timestamptz not null default now())`)
	if err != nil {
		return 0, 0, fmt.Errorf("create schema_migrations: %w", err)
	}
	current, err := schemaVersion(ctx, conn)
	if err != nil {
		return 0, 0, err
	}
	if current > len(all) {
		return 0, 0, fmt.Errorf("the schema is at version %d and this program knows %d; use a newer origin", current, len(all))
	}
	for _, m := range all[current:] {
		if err := apply(ctx, conn, m); err != nil {
			return current, applied, err
		}
		current = m.version
		applied++
	}
	return current, applied, nil
}

func apply(ctx context.Context, conn *pgx.Conn, m migration) error {
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, m.sql); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "insert into public.schema_migrations (version, name) values ($1, $2)", m.version, m.name)
		return err
	})
	if err != nil {
		return fmt.Errorf("apply migration %d (%s): %w", m.version, m.name, err)
	}
	return nil
}

func schemaVersion(ctx context.Context, conn *pgx.Conn) (int, error) {
	var version int
	err := conn.QueryRow(ctx, "select coalesce(max(version), 0) from public.schema_migrations").Scan(&version)
	if err != nil {
		return 0, fmt.Errorf("read schema version: %w", err)
	}
	return version, nil
}

// CheckSchema fails, with the command that mends it, unless the schema is at
// the version this program needs.
func CheckSchema(ctx context.Context, conn *pgx.Conn) error {
	all, err := migrations()
	if err != nil {
		return err
	}
	var present bool
	if err := conn.QueryRow(ctx, "select to_regclass('public.schema_migrations') is not null").Scan(&present); err != nil {
		return fmt.Errorf("read schema version: %w", err)
	}
	version := 0
	if present {
		if version, err = schemaVersion(ctx, conn); err != nil {
			return err
		}
	}
	switch {
	case version < len(all):
		return fmt.Errorf("the schema is at version %d and this program needs %d; run: origin migrate", version, len(all))
	case version > len(all):
		return fmt.Errorf("the schema is at version %d and this program knows %d; use a newer origin", version, len(all))
	}
	return nil
}
