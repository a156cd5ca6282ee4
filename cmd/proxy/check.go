package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"walpurge/config"
	"walpurge/internal/cdc"
	"walpurge/internal/pgerror"
	"walpurge/internal/redisclient"
)

// lookTimeout bounds how long a command that only looks waits for a database.
const lookTimeout = 5 * time.Second

// checked is what check finds.
type checked struct {
	File       string    `json:"file"`
	OK         bool      `json:"ok"`
	Database   string    `json:"database"` // checked, unreachable, or none where nothing depends on one
	Error      string    `json:"error,omitempty"`
	Redis      string    `json:"redis"` // checked, unreachable, or none
	RedisError string    `json:"redis_error,omitempty"`
	Origin     string    `json:"origin"` // checked, unreachable, or none where something else was wrong before
	OriginErr  string    `json:"origin_error,omitempty"`
	Problems   []problem `json:"problems,omitempty"`
	Notes      []string  `json:"notes,omitempty"`
}

// problem is one mistake in the configuration.
type problem struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Message string `json:"message"`
}

// check says what is wrong with the configuration, and with the database, Redis and
// the origin for it. One that doesn't answer is no mistake of the configuration.
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
	var also []string
	for _, part := range []struct{ state, name string }{{found.Database, "the database"}, {found.Redis, "Redis"}, {found.Origin, "the origin"}} {
		if part.state == "checked" {
			also = append(also, part.name)
		}
	}
	switch n := len(also); n {
	case 0:
	case 1:
		ok += ", and so is " + also[0]
	default:
		ok += ", and so are " + strings.Join(also[:n-1], ", ") + " and " + also[n-1]
	}
	fmt.Fprintf(c.stdout, "%s: %s\n", c.file, ok)
	if found.Error != "" {
		fmt.Fprintf(c.stderr, "tables and columns were not checked: %s\n", found.Error)
	}
	if found.RedisError != "" {
		fmt.Fprintf(c.stderr, "Redis was not checked: %s\n", found.RedisError)
	}
	if found.OriginErr != "" {
		fmt.Fprintf(c.stderr, "the origin was not checked: %s\n", found.OriginErr)
	}
	return nil
}

// check looks. The result is nil when the command line was the mistake.
func (c *command) check(ctx context.Context) (*checked, error) {
	err := c.load()
	found := &checked{File: c.file, Database: "none", Redis: "none", Origin: "none"}
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
	found.Notes = unkeyed(c.config)
	if err := c.checkDatabase(ctx, found); err != nil {
		return found, err
	}
	if err := c.checkRedis(ctx, found); err != nil {
		return found, err
	}
	if err := c.checkOrigin(ctx, found); err != nil {
		return found, err
	}
	found.OK = true
	return found, nil
}

// checkDatabase asks the database for what the configuration needs of it.
func (c *command) checkDatabase(ctx context.Context, found *checked) error {
	db := database(c.config, nil, nil)
	if db == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	var waiting atomic.Pointer[string]
	db.Waiting = func(text string) { waiting.Store(&text) }
	catalogue, err := cdc.Inspect(ctx, *db)
	if err != nil && unreachable(err) {
		found.Database, found.Error = "unreachable", pgerror.Line(err)
		if why := waiting.Load(); why != nil {
			found.Error += "; " + *why
		}
		return nil
	}
	found.Database = "checked"
	if err != nil {
		return mistaken(c.config, err)
	}
	if stuck, err := cdc.StuckSlot(ctx, *db); err == nil && stuck != "" { // else whoever reads it finds out
		found.Notes = append(found.Notes, stuck)
	}
	for _, coarse := range catalogue.Coarse {
		found.Notes = append(found.Notes, fmt.Sprintf("table %s: old rows don't say enough, so a change counts for any value of %s; %s",
			coarse.Table, strings.Join(coarse.Columns, ", "), coarse.Mend))
	}
	return nil
}

// checkRedis asks Redis for a sign of life. One that doesn't answer is no mistake, one
// that refuses is.
func (c *command) checkRedis(ctx context.Context, found *checked) error {
	if c.config.Redis == nil {
		return nil
	}
	redis.SetLogger(redisLog{slog.New(slog.DiscardHandler)}) // what counts is the error
	client, err := redisclient.New(string(c.config.Redis.URL), redisclient.Limits{Wait: lookTimeout, Retries: 1})
	if err != nil {
		return config.NewErrors(c.config.Problem(c.config.Pos("redis.url"), "%v", err))
	}
	defer func() { _ = client.Close() }()
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	found.Redis = "checked"
	err = client.Ping(ctx).Err()
	switch {
	case err == nil:
	case redisRefuses(err):
		return config.NewErrors(c.config.Problem(c.config.Pos("redis.url"), "Redis says: %v; correct redis.url", err))
	default:
		found.Redis, found.RedisError = "unreachable", err.Error()
	}
	return nil
}

// redisRefuses tells whether err is an answer that waiting doesn't change.
func redisRefuses(err error) bool {
	var answer redis.Error
	if !errors.As(err, &answer) {
		return false
	}
	for _, passing := range []string{"LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY"} {
		if strings.HasPrefix(answer.Error(), passing) {
			return false
		}
	}
	return true
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
