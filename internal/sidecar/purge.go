package sidecar

import (
	"context"
	"errors"
	"fmt"

	"walpurge/internal/cdc"
)

// purge drops groups of responses in every sidecar of the database, by a
// message in its log.
func purge(ctx context.Context, c *command) error {
	if err := c.load(); err != nil {
		return err
	}
	if len(c.args) == 0 {
		return usageError{errors.New("no group given; use proxy purge -config FILE GROUP…")}
	}
	if c.config.Postgres == nil {
		return usageError{errors.New("without postgres there are no groups to purge")}
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	lsn, err := cdc.EmitPurge(ctx, string(c.config.Postgres.URL), c.args)
	if err != nil {
		return err
	}
	if c.json {
		return c.printJSON(map[string]any{"groups": c.args, "position": lsn.String()})
	}
	fmt.Fprintf(c.stdout, "purged at %s\n", lsn)
	return nil
}
