package testbed

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// hba lets every role in from this machine over TCP, for queries and replication, and nobody from anywhere else.
const hba = `host all         all 127.0.0.1/32 trust
host replication all 127.0.0.1/32 trust
`

// configure writes postgresql.conf and pg_hba.conf in place of initdb's.
func (p *Postgres) configure(settings map[string]string) error {
	all := map[string]string{
		"cluster_name":              "walpurge",
		"lc_messages":               "C",
		"log_line_prefix":           "%m [%p] %d ",
		"log_timezone":              "UTC",
		"max_connections":           "300",
		"max_prepared_transactions": "10",
		"max_replication_slots":     "50",
		"max_wal_senders":           "20",
		"shared_buffers":            "64MB",
		"timezone":                  "UTC",
		"wal_level":                 "logical",
	}
	maps.Copy(all, settings)
	maps.Copy(all, map[string]string{
		"listen_addresses":        "127.0.0.1",
		"port":                    strconv.Itoa(p.port),
		"unix_socket_directories": "",
	})
	var conf strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&conf, "%s = %s\n", name, quote(all[name]))
	}
	for name, content := range map[string]string{"postgresql.conf": conf.String(), "pg_hba.conf": hba} {
		path := filepath.Join(p.data(), name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return err
		}
		if err := p.installation.account.own(path); err != nil {
			return err
		}
	}
	return nil
}

// quote writes a value for postgresql.conf and for ALTER SYSTEM, which agree where there is no backslash.
func quote(value string) string { return "'" + strings.ReplaceAll(value, "'", "''") + "'" }

// Set changes a setting with ALTER SYSTEM and reloads the configuration. It returns when new sessions have the
// value. A setting that takes a restart is written down for the next Start. Sessions that are open follow in their own
// time, mostly before their next statement.
func (p *Postgres) Set(ctx context.Context, name, value string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("set %s to %q: %w", name, value, err)
		}
	}()
	ctx, cancel := withPatience(ctx)
	defer cancel()
	conn, err := pgx.Connect(ctx, p.URL("postgres"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()

	var kind string
	var before time.Time
	if err := conn.QueryRow(ctx, "SELECT context, pg_conf_load_time() FROM pg_settings WHERE name = lower($1)", name).Scan(&kind, &before); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "ALTER SYSTEM SET "+pgx.Identifier{name}.Sanitize()+" = "+quote(value)); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "SELECT pg_reload_conf()"); err != nil {
		return err
	}
	if err := p.awaitReload(ctx, before); err != nil {
		return err
	}
	if kind == "postmaster" {
		return nil
	}
	if name == "synchronous_standby_names" {
		// Commits look at a flag that the checkpointer sets when it has read the new value. It reads before it
		// starts on a checkpoint.
		_, err = conn.Exec(ctx, "CHECKPOINT")
	}
	return err
}

// awaitReload waits for the postmaster to read its files again. It does so before it starts another session, and a
// new session has the postmaster's time.
func (p *Postgres) awaitReload(ctx context.Context, before time.Time) error {
	for {
		loaded, err := p.loadTime(ctx)
		if err != nil {
			return err
		}
		if loaded.After(before) {
			return nil
		}
		select {
		case <-time.After(pollInterval):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (p *Postgres) loadTime(ctx context.Context) (loaded time.Time, err error) {
	conn, err := pgx.Connect(ctx, p.URL("postgres"))
	if err != nil {
		return loaded, err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	err = conn.QueryRow(ctx, "SELECT pg_conf_load_time()").Scan(&loaded)
	return loaded, err
}
