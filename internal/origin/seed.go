package origin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// DefaultListings is how many listings the seed makes unless told otherwise.
const DefaultListings = 100_000

// MaxListings bounds the seed.
const MaxListings = 10_000_000

// SeedOptions says what to fill the tables with.
type SeedOptions struct {
	Listings int  // from 1 to MaxListings
	Reset    bool // empty the tables first; without it they must be empty
}

// Seeded is what a seed has written.
type Seeded struct {
	Listings, Agents int
}

// Seed fills the tables through COPY. The same number of listings gives the same rows to the
// last byte, every time. It is one transaction: either everything is there or nothing.
func Seed(ctx context.Context, conn *pgx.Conn, options SeedOptions) (Seeded, error) {
	if options.Listings < 1 || options.Listings > MaxListings {
		return Seeded{}, fmt.Errorf("the number of listings must be from 1 to %d", MaxListings)
	}
	if err := CheckSchema(ctx, conn); err != nil {
		return Seeded{}, err
	}
	done := Seeded{Listings: options.Listings, Agents: max(10, options.Listings/100)}
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return fill(ctx, tx, done, options.Reset) })
	if err != nil {
		return Seeded{}, err
	}
	// The planner has to know what is there now, and index-only access wants the
	// visibility map. VACUUM can't run inside the transaction.
	if _, err := conn.Exec(ctx, "vacuum analyze public.agents, public.listings"); err != nil {
		return done, fmt.Errorf("analyze the tables: %w", err)
	}
	return done, nil
}

// ErrFilled says that there are rows already.
var ErrFilled = errors.New("the tables already hold rows; use -reset to delete them all and start again, or -if-empty to leave them")

func fill(ctx context.Context, tx pgx.Tx, want Seeded, reset bool) error {
	if reset {
		if _, err := tx.Exec(ctx, "truncate public.listings, public.agents restart identity"); err != nil {
			return fmt.Errorf("empty the tables: %w", err)
		}
	}
	// Keeps two seeds apart: the second waits here, then sees the rows of the first.
	if _, err := tx.Exec(ctx, "lock table public.agents, public.listings in share row exclusive mode"); err != nil {
		return fmt.Errorf("lock the tables: %w", err)
	}
	var filled bool
	err := tx.QueryRow(ctx, "select exists (select from public.listings) or exists (select from public.agents)").Scan(&filled)
	if err != nil {
		return fmt.Errorf("look for rows: %w", err)
	}
	if filled {
		return ErrFilled
	}
	g := newGenerator(want)
	if err := copyRows(ctx, tx, "agents", agentColumns(), want.Agents, g.agent); err != nil {
		return err
	}
	if err := copyRows(ctx, tx, "listings", listingColumns(), want.Listings, g.listing); err != nil {
		return err
	}
	// The ids were given, so the sequences don't know of them.
	_, err = tx.Exec(ctx, `select setval(pg_get_serial_sequence('public.agents', 'id'), $1),
		setval(pg_get_serial_sequence('public.listings', 'id'), $2)`, want.Agents, want.Listings)
	if err != nil {
		return fmt.Errorf("advance the sequences: %w", err)
	}
	return nil
}

// copyRows sends n rows; row is called with the ids from 1 to n and may reuse its slice.
func copyRows(ctx context.Context, tx pgx.Tx, table string, columns []string, n int, row func(id int) []any) error {
	id := 0
	source := pgx.CopyFromFunc(func() ([]any, error) {
		if id == n {
			return nil, nil
		}
		id++
		return row(id), nil
	})
	if _, err := tx.CopyFrom(ctx, pgx.Identifier{"public", table}, columns, source); err != nil {
		return fmt.Errorf("copy %s: %w", table, err)
	}
	return nil
}

// seedStart is when the oldest seeded listing was made, and seedSpan about how
// much later the newest. Fixed, so that the rows don't depend on the day.
var seedStart = time.Date(2024, time.January, 1, 8, 0, 0, 0, time.UTC)

const seedSpan = 730 * 24 * time.Hour
