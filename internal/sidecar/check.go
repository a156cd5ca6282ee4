package sidecar

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"walpurge/config"
	"walpurge/internal/cdc/catalogue"
	"walpurge/internal/coherence"
	"walpurge/internal/identifier"
	"walpurge/internal/pgerror"
	"walpurge/internal/proxycache/depends"
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
	known, err := catalogue.Inspect(ctx, db.Scope)
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
	if stuck, err := catalogue.StuckSlot(ctx, db.Scope); err == nil && stuck != "" { // else whoever reads it finds out
		found.Notes = append(found.Notes, stuck)
	}
	for _, coarse := range known.Coarse {
		columns := make([]string, len(coarse.Columns))
		for i, c := range coarse.Columns {
			columns[i] = identifier.Quote(c)
		}
		found.Notes = append(found.Notes, fmt.Sprintf("table %s: old rows don't say enough, so a change counts for any value of %s; %s",
			coarse.Table, strings.Join(columns, ", "), coarse.Mend))
	}
	if responsesName(c.config) {
		found.Notes = append(found.Notes, keys(known.Tables)...)
	}
	return nil
}

// checkRedis asks Redis for what is needed of it. One that doesn't answer is no mistake, one
// that refuses is.
func (c *command) checkRedis(ctx context.Context, found *checked) error {
	if c.config.Redis == nil {
		return nil
	}
	redis.SetLogger(redisLog{slog.New(slog.DiscardHandler)}) // what counts is the error
	found.Redis = "checked"
	err := redisAccess(ctx, c.config)
	var refused *redisclient.RefusalError
	var wrong *redisclient.URLError
	switch pos := c.config.Pos("redis.url"); {
	case err == nil:
	case errors.As(err, &wrong):
		return config.NewErrors(c.config.Problem(pos, "%s", wrong.Of("redis.url")))
	case errors.As(err, &refused) && refused.Command != "":
		return config.NewErrors(c.config.Problem(pos, "redis.url: %v; let it: ACL SETUSER USER %s", err, redisclient.Rights(c.config.Redis.Namespace)))
	case errors.As(err, &refused):
		return config.NewErrors(c.config.Problem(pos, "%v; correct redis.url", err))
	case untrusted(err):
		return config.NewErrors(c.config.Problem(pos, "Redis can't be used: %v; correct redis.url, or the certificate", err))
	default:
		found.Redis, found.RedisError = "unreachable", err.Error()
	}
	return nil
}

// redisAccess asks Redis for what the configuration needs of it.
func redisAccess(ctx context.Context, c *config.Config) error {
	client, err := redisclient.New(string(c.Redis.URL), redisclient.Limits{Wait: lookTimeout, Retries: 1})
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	return redisclient.Access(ctx, client, c.Redis.Namespace, len(watches(c)) > 0)
}

// responsesName tells whether responses are expected to name rows in Depends-On.
func responsesName(c *config.Config) bool {
	return len(c.Postgres.Watch) > 0 || slices.ContainsFunc(c.Routes, func(r config.Route) bool { return r.Declared })
}

// keys says under which names Depends-On has the columns whose own is no key
// of a structured field, and which have none.
func keys(tables []coherence.Table) []string {
	var notes []string
	for i := range tables {
		t := &tables[i]
		var lower, none []string
		for _, column := range t.Columns {
			switch key := strings.ToLower(column.Name); {
			case column.Twin || !depends.IsKey(key):
				none = append(none, column.Name)
			case key != column.Name:
				lower = append(lower, key+" for "+column.Name)
			}
		}
		if len(lower) > 0 {
			notes = append(notes, fmt.Sprintf("table %s: Depends-On names columns by their lower-case keys: %s", t.Name, strings.Join(lower, ", ")))
		}
		if len(none) > 0 {
			notes = append(notes, fmt.Sprintf("table %s: Depends-On has no key for %s (a sign that keys don't have, or another column of this name in another letter case), so what it says of them is no condition",
				t.Name, strings.Join(none, ", ")))
		}
	}
	return notes
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
