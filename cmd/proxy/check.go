package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"walpurge/config"
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
	for _, note := range unkeyed(c.config) {
		fmt.Fprintf(c.stdout, "%s: note: %s\n", c.file, note)
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

// unkeyed says what of a request reaches the service on routes whose responses
// are shared without telling them apart.
func unkeyed(c *config.Config) []string {
	var paths, queries []string
	for _, r := range c.Routes {
		if r.TTL != nil && *r.TTL == 0 {
			continue // nothing is kept
		}
		paths = append(paths, r.Path)
		if !r.Query.Listed {
			queries = append(queries, r.Path)
		}
	}
	var notes []string
	if len(paths) > 0 {
		notes = append(notes, "on "+enumerate(paths)+" the service gets request headers that don't tell responses apart; where an answer depends on one, name it under vary")
	}
	if len(queries) > 0 {
		notes = append(notes, "on "+enumerate(queries)+" every query parameter tells responses apart, also ones that the service doesn't know; query lists those that count")
	}
	return notes
}

// enumerate joins the first few words.
func enumerate(words []string) string {
	const few = 4
	if n := len(words); n > few {
		return fmt.Sprintf("%s and %d more routes", strings.Join(words[:few], ", "), n-few)
	}
	return strings.Join(words, ", ")
}
