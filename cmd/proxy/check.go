package main

import (
	"context"
	"fmt"
	"time"

	"walpurge/internal/cdc"
)

// lookTimeout bounds how long a command that only looks waits for a database.
const lookTimeout = 5 * time.Second

// check says what is wrong with the configuration, and with the database for
// it. A database that doesn't answer is no mistake of the configuration.
func check(ctx context.Context, c *command) error {
	if err := c.load(); err != nil {
		return err
	}
	if err := c.noArguments(); err != nil {
		return err
	}
	db := database(c.config, nil, nil)
	if db == nil {
		fmt.Fprintf(c.stdout, "%s: ok\n", c.file)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	catalogue, err := cdc.Inspect(ctx, *db)
	switch {
	case err == nil:
	case unreachable(err):
		fmt.Fprintf(c.stdout, "%s: ok\n", c.file)
		fmt.Fprintf(c.stderr, "tables and columns were not checked: %v\n", err)
		return nil
	default:
		return mistaken(c.config, err)
	}
	for _, coarse := range catalogue.Coarse {
		fmt.Fprintf(c.stdout, "%s: note: %s\n", c.file, coarse)
	}
	fmt.Fprintf(c.stdout, "%s: ok, and so is the database\n", c.file)
	return nil
}
