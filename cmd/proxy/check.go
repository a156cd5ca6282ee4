package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"walpurge/config"
	"walpurge/internal/cdc"
)

// lookTimeout bounds how long a command that only looks waits for a database.
const lookTimeout = 5 * time.Second

// checked is what check finds.
type checked struct {
	File     string    `json:"file"`
	OK       bool      `json:"ok"`
	Database string    `json:"database"` // checked, unreachable, or none where nothing depends on one
	Error    string    `json:"error,omitempty"`
	Problems []problem `json:"problems,omitempty"`
	Notes    []string  `json:"notes,omitempty"`
}

// problem is one mistake in the configuration.
type problem struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Message string `json:"message"`
}

// check says what is wrong with the configuration, and with the database for
// it. A database that doesn't answer is no mistake of the configuration.
func check(ctx context.Context, c *command) error {
	found, err := c.check(ctx)
	if c.json && found != nil {
		var problems *config.Errors
		if errors.As(err, &problems) {
			for _, p := range problems.Problems {
				found.Problems = append(found.Problems, problem{p.File, p.Line, p.Column, p.Message})
			}
		}
		if printErr := c.printJSON(found); printErr != nil {
			return printErr
		}
		if err != nil {
			return answeredError{err}
		}
		return nil
	}
	if err != nil {
		return err
	}
	colours := newPalette(c.stdout)
	for _, note := range found.Notes {
		fmt.Fprintf(c.stdout, "%s: %s: %s\n", c.file, colours.odd("note"), note)
	}
	ok := colours.good("ok")
	if found.Database == "checked" {
		ok += ", and so is the database"
	}
	fmt.Fprintf(c.stdout, "%s: %s\n", c.file, ok)
	if found.Error != "" {
		fmt.Fprintf(c.stderr, "tables and columns were not checked: %s\n", found.Error)
	}
	return nil
}

// check looks. The result is nil when the command line was the mistake.
func (c *command) check(ctx context.Context) (*checked, error) {
	err := c.load()
	found := &checked{File: c.file, Database: "none"}
	var problems *config.Errors
	switch {
	case errors.As(err, &problems):
		return found, err
	case err != nil:
		return nil, err
	}
	if err := c.noArguments(); err != nil {
		return nil, err
	}
	for _, note := range unkeyed(c.config) {
		fmt.Fprintf(c.stdout, "%s: note: %s\n", c.file, note)
	}
	db := database(c.config, nil, nil)
	if db == nil {
		found.OK = true
		return found, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	catalogue, err := cdc.Inspect(ctx, *db)
	switch {
	case err == nil:
	case unreachable(err):
		found.OK, found.Database, found.Error = true, "unreachable", err.Error()
		return found, nil
	default:
		found.Database = "checked"
		return found, mistaken(c.config, err)
	}
	found.OK, found.Database = true, "checked"
	for _, coarse := range catalogue.Coarse {
		found.Notes = append(found.Notes, fmt.Sprintf("table %s: old rows don't say enough, so a change counts for any value of %s; %s",
			coarse.Table, strings.Join(coarse.Columns, ", "), coarse.Mend))
	}
	return found, nil
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
