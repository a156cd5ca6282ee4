package sidecar

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"walpurge/config"
	"walpurge/internal/cdc"
	"walpurge/internal/coherence"
	"walpurge/internal/pgerror"
)

// database is the listener's configuration for c, or nil without PostgreSQL
// or without a route that depends on a table.
func database(c *config.Config, now func() coherence.Nanos, log *slog.Logger) *cdc.Config {
	if c.Postgres == nil {
		return nil
	}
	tables := watches(c)
	if len(tables) == 0 {
		return nil
	}
	return &cdc.Config{
		URL: string(c.Postgres.URL), Slot: c.Postgres.Slot, Publication: c.Postgres.Publication,
		Temporary: c.Redis == nil, BulkRows: c.BulkRows, Watches: tables,
		MaxLag: shortestLag(c), ReadAhead: c.Postgres.ReadAhead, Now: now, Logger: log,
	}
}

// shortestLag is the smallest max_lag of any route: it sets the pace at which
// freshness is proven.
func shortestLag(c *config.Config) time.Duration {
	lag := c.MaxLag
	for _, r := range c.Routes {
		if len(r.DependsOn) > 0 {
			lag = min(lag, r.MaxLag)
		}
	}
	return lag
}

// placed turns what the database refuses into problems of the configuration
// file, with line and column. Other errors stay as they are.
func placed(c *config.Config, err error) error {
	var refused *cdc.RefusalError
	if !errors.As(err, &refused) {
		return err
	}
	var problems []config.Problem
	for _, r := range refused.Refusals {
		pos := c.Pos("postgres")
		if r.Table != "" {
			pos = place(c, r.Table, r.Column)
		}
		problems = append(problems, c.Problem(pos, "%s", r.String()))
	}
	return config.NewErrors(problems...)
}

// unreachable tells whether err means that no database answered, or none that
// can at the moment, as opposed to one that answered with a refusal.
func unreachable(err error) bool {
	var refused *cdc.RefusalError
	if errors.As(err, &refused) || pgerror.Lasting(err, "") != "" {
		return false
	}
	return pgerror.Passes(err)
}

// mistaken is a refusal by the server itself, such as an unknown role: a
// mistake in the configuration that waiting doesn't mend.
func mistaken(c *config.Config, err error) error {
	err = placed(c, err)
	var problems *config.Errors
	if errors.As(err, &problems) {
		return err
	}
	if lasting := pgerror.Lasting(err, "postgres.url"); lasting != "" {
		return config.NewErrors(c.Problem(c.Pos("postgres.url"), "%s", lasting))
	}
	return config.NewErrors(c.Problem(c.Pos("postgres.url"), "%s; %s", pgerror.Line(err), pgerror.Mend(err)))
}

// retryInspect is how often a database that doesn't answer is asked again.
const retryInspect = time.Second

// inspect asks the database what the configuration needs of it. A database
// that doesn't answer yet is waited for: a sidecar often starts before it.
func inspect(ctx context.Context, c *config.Config, db *cdc.Config, log *slog.Logger) (*cdc.Catalogue, error) {
	for said := ""; ; {
		catalogue, err := cdc.Inspect(ctx, *db)
		switch {
		case err == nil:
			return catalogue, nil
		case ctx.Err() != nil:
			return nil, fmt.Errorf("inspect the database: %w", ctx.Err())
		case !unreachable(err):
			return nil, mistaken(c, err)
		}
		if line := pgerror.Line(err); line != said {
			said = line
			log.Warn("waiting for PostgreSQL; where it isn't just starting, correct postgres.url", "error", line)
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryInspect):
		}
	}
}
