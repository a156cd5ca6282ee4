package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"walpurge/dev/testbed"
)

// backlogSettings say how much piles up.
type backlogSettings struct {
	rounds  int
	changes int // rows changed while nobody reads the slots, each once
	cached  int // responses that depend on one of those rows each

	// M2: this process, with the readers in it, is on the server's core while the database is on the client's. Both are
	// empty where nothing is pinned.
	server, client string
}

// perTransaction is how many rows a transaction of the backlog changes.
const perTransaction = 100

// backlogResult are the seconds from the start of a reader to the end of the backlog, one a round.
type backlogResult struct {
	settings backlogSettings
	ours     series
	theirs   series
}

// measureBacklog is the part of that name.
func measureBacklog(ctx context.Context, st *stage) (*result, error) {
	settings := st.apart(backlogSettings{rounds: 3, changes: 1_000_000, cached: 100_000})
	if st.short {
		settings.rounds, settings.changes, settings.cached = 1, 50_000, 25_000
	}
	b, err := compareBacklogs(ctx, filepath.Join(st.dir, "backlog"), settings, st.say)
	if err != nil {
		return nil, err
	}
	return b.result(), nil
}

// apart has the readers and the database on cores of their own.
func (st *stage) apart(s backlogSettings) backlogSettings {
	s.server, s.client = fmt.Sprint(st.server), fmt.Sprint(st.client)
	return s
}

// compareBacklogs compares how fast the listener works a backlog off with how fast pg_recvlogical reads it and throws it
// away. Both have a slot of their own, made at the same place, and both start from nothing but their programs: to
// connect belongs to it.
func compareBacklogs(ctx context.Context, dir string, settings backlogSettings, say func(string, ...any)) (result *backlogResult, err error) {
	program, err := recvlogical()
	if err != nil {
		return nil, err
	}
	b, err := newBacklog(ctx, dir, settings)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	b.program = program
	result = &backlogResult{settings: settings}
	for round := range settings.rounds {
		ours, theirs, err := b.round(ctx, round)
		if err != nil {
			return nil, fmt.Errorf("round %d: %w", round+1, err)
		}
		result.ours, result.theirs = append(result.ours, ours.Seconds()), append(result.theirs, theirs.Seconds())
		say("round %d of %d: backlog of %d worked off in %.3f s, by pg_recvlogical in %.3f s", round+1, settings.rounds, settings.changes, ours.Seconds(), theirs.Seconds())
	}
	return result, nil
}

func (b *backlogResult) result() *result {
	s := b.settings
	row := func(name string, seconds series) []string {
		return []string{
			name, number(b.theirs.median() / seconds.median()),
			fmt.Sprintf("%.3f", seconds.median()), seconds.span("%.3f"), fmt.Sprintf("%.0f", float64(s.changes)/seconds.median()),
		}
	}
	return &result{
		tables: []table{{
			title: "Working off a backlog",
			head:  []string{"", "of its speed", "seconds", "smallest … largest", "changes/s"},
			rows:  [][]string{row("listener and guard", b.ours), row("pg_recvlogical to /dev/null", b.theirs)},
			notes: []string{fmt.Sprintf("%s changed rows in transactions of %d, %s cached responses each of which one of them drops, medians of %d alternating rounds; to connect included.",
				thousands(float64(s.changes)), perTransaction, thousands(float64(s.cached)), len(b.ours))},
		}},
		goals: []goal{{
			what:  fmt.Sprintf("speed with a backlog of %s changes: the listener / pg_recvlogical", thousands(float64(s.changes))),
			ratio: b.theirs.median() / b.ours.median(), limit: 0.9, atLeast: true,
		}},
	}
}

// backlog is what its rounds share.
type backlog struct {
	backlogSettings
	postgres *testbed.Postgres
	url      string
	conn     *pgx.Conn
	program  string // pg_recvlogical
}

const publication = "bench"

// newBacklog starts a database of its own, with nothing in it but the rows that change.
func newBacklog(ctx context.Context, dir string, settings backlogSettings) (b *backlog, err error) {
	b = &backlog{backlogSettings: settings}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	b.postgres, err = testbed.StartPostgres(ctx, dir, map[string]string{
		"autovacuum":         "off", // so that only the backlog writes WAL
		"checkpoint_timeout": "1h",
		"max_wal_size":       "8GB",
		"shared_buffers":     "256MB",
		"synchronous_commit": "off", // of the backlog's making; its end is flushed
	})
	if err != nil {
		return b, err
	}
	b.url = b.postgres.URL("postgres")
	if b.conn, err = pgx.Connect(ctx, b.url); err != nil {
		return b, err
	}
	if err := b.prepare(ctx); err != nil {
		return b, fmt.Errorf("prepare the table: %w", err)
	}
	if settings.server != "" {
		return b, pin(ctx, os.Getpid(), settings.server)
	}
	return b, nil
}

func (b *backlog) close() (err error) {
	if b.client != "" {
		err = pin(context.Background(), os.Getpid(), b.client)
	}
	if b.conn != nil {
		err = errors.Join(err, b.conn.Close(context.Background()))
	}
	if b.postgres != nil {
		err = errors.Join(err, b.postgres.Close())
	}
	return err
}

func (b *backlog) prepare(ctx context.Context) error {
	statements := []string{
		"CREATE TABLE listings (id integer PRIMARY KEY, title text NOT NULL, city text NOT NULL, price numeric NOT NULL)",
		"ALTER TABLE listings REPLICA IDENTITY FULL",
		fmt.Sprintf(`INSERT INTO listings SELECT g, 'A home with a garden, number ' || g, 'City ' || g %% 50, 100000 + g FROM generate_series(1, %d) g`, b.changes),
		"VACUUM ANALYZE listings",
		"CREATE PUBLICATION " + publication + " FOR TABLE listings",
		// The rows of a transaction lie far from each other, as those of different visitors do.
		fmt.Sprintf(`CREATE PROCEDURE change() LANGUAGE plpgsql AS $$ BEGIN
  FOR t IN 1..%[1]d LOOP
    UPDATE listings SET price = price + 1 WHERE id = ANY (ARRAY(SELECT t + n * %[1]d FROM generate_series(0, %[2]d) n));
    COMMIT;
  END LOOP;
END $$`, b.changes/perTransaction, perTransaction-1),
	}
	for _, statement := range statements {
		if _, err := b.conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// round fills the guard, lets the backlog pile up and has both readers work it off, another one first every time (M1).
func (b *backlog) round(ctx context.Context, round int) (ours, theirs time.Duration, err error) {
	slot, other := fmt.Sprintf("ours_%d", round), fmt.Sprintf("theirs_%d", round)
	r, err := newReader(ctx, b.url, slot, b.cached, 0)
	if err != nil {
		return 0, 0, err
	}
	if err := b.released(ctx, slot); err != nil {
		return 0, 0, err
	}
	if _, err := b.conn.Exec(ctx, "SELECT pg_create_logical_replication_slot($1, 'pgoutput')", other); err != nil {
		return 0, 0, fmt.Errorf("make the slot of pg_recvlogical: %w", err)
	}
	end, err := b.pile(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("make the backlog: %w", err)
	}
	runs := []func() error{
		func() (err error) { ours, err = r.workOff(ctx, b.changes); return err },
		func() (err error) { theirs, err = b.drain(ctx, other, end); return err },
	}
	for _, i := range turns(len(runs), round) {
		if err := runs[i](); err != nil {
			return 0, 0, err
		}
	}
	for _, name := range []string{slot, other} {
		if err := b.released(ctx, name); err != nil {
			return 0, 0, err
		}
		if _, err := b.conn.Exec(ctx, "SELECT pg_drop_replication_slot($1)", name); err != nil {
			return 0, 0, fmt.Errorf("drop the slot %s: %w", name, err)
		}
	}
	return ours, theirs, nil
}

// pile makes the changes and returns a position behind them that has been flushed.
func (b *backlog) pile(ctx context.Context) (end string, err error) {
	for _, statement := range []string{
		"CALL change()",
		"SET synchronous_commit = on",
		// Something that ends behind the changes, which both readers get: pg_recvlogical looks at what arrives.
		"SELECT pg_logical_emit_message(true, 'end', '')",
		"RESET synchronous_commit",
		// What is dirty is written now and not while somebody is measured.
		"CHECKPOINT",
	} {
		if _, err := b.conn.Exec(ctx, statement); err != nil {
			return "", fmt.Errorf("%s: %w", statement, err)
		}
	}
	err = b.conn.QueryRow(ctx, "SELECT pg_current_wal_flush_lsn()::text").Scan(&end)
	return end, err
}

// released waits until nobody holds the slot.
func (b *backlog) released(ctx context.Context, slot string) error {
	return eventually(ctx, "the slot "+slot+" is released", func() (bool, error) {
		var active bool
		err := b.conn.QueryRow(ctx, "SELECT active FROM pg_replication_slots WHERE slot_name = $1", slot).Scan(&active)
		return !active, err
	})
}

// drain has pg_recvlogical read up to end.
func (b *backlog) drain(ctx context.Context, slot, end string) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, b.program, "--dbname="+b.url, "--slot="+slot, "--start", "--no-loop", "--file=/dev/null", "--endpos="+end,
		"--option=proto_version=1", "--option=publication_names="+publication)
	began := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("pg_recvlogical: %w: %s", err, out)
	}
	return time.Since(began), nil
}

// recvlogical finds the program where Debian keeps it, or in PATH.
func recvlogical() (string, error) {
	if found, err := filepath.Glob("/usr/lib/postgresql/*/bin/pg_recvlogical"); err == nil && len(found) > 0 {
		return found[len(found)-1], nil
	}
	path, err := exec.LookPath("pg_recvlogical")
	if err != nil {
		return "", requirePrograms("pg_recvlogical")
	}
	return path, nil
}

// patience bounds every wait for a server.
const patience = time.Minute

// eventually asks until the answer is yes.
func eventually(ctx context.Context, what string, ask func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		switch yes, err := ask(); {
		case err != nil:
			return fmt.Errorf("wait until %s: %w", what, err)
		case yes:
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w", what, ctx.Err())
		case <-tick.C:
		}
	}
}

// lines joins what is not empty.
func lines(list ...string) string { return strings.Join(list, "\n") + "\n" }
