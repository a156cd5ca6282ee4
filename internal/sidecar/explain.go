package sidecar

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"walpurge/internal/cdc/catalogue"
	"walpurge/internal/coherence"
	"walpurge/internal/pgerror"
	"walpurge/internal/proxycache"
	"walpurge/internal/upstream"
)

// explain says how a request is cached: its route, its key, what it depends
// on, and which changes purge it. A running proxy is not asked.
func explain(ctx context.Context, c *command) error {
	if err := c.load(); err != nil {
		return err
	}
	method, target, err := requestLine(c.args)
	if err != nil {
		return err
	}
	tables, note, err := c.tables(ctx)
	if err != nil {
		return err
	}
	guard, err := coherence.New(coherence.Config{Tables: tables})
	if err != nil {
		return fmt.Errorf("make the guard: %w", err)
	}
	declared, err := routes(c.config, tables)
	if err != nil {
		return err
	}
	began := time.Now()
	proxy, err := proxycache.New(proxycache.Options{
		Origin: upstream.Options{URL: c.config.Origin}, Guard: guard, Routes: declared, Logger: slog.New(slog.DiscardHandler),
		Now: func() coherence.Nanos { return coherence.Nanos(time.Since(began)) },
	})
	if err != nil {
		return usageError{err}
	}
	defer func() { _ = proxy.Close(ctx) }()
	e, err := proxy.Explain(method, target, nil)
	if err != nil {
		return usageError{fmt.Errorf("%q is no request: %w; give for instance 'GET /path?name=value'", strings.Join(c.args, " "), err)}
	}
	if c.json {
		return c.printJSON(e)
	}
	c.printExplanation(e, target)
	if note != "" {
		fmt.Fprintln(c.stderr, note)
	}
	return nil
}

// requestLine takes 'GET /path' as one argument or two, or the path alone.
func requestLine(args []string) (method, target string, err error) {
	words := strings.Fields(strings.Join(args, " "))
	switch len(words) {
	case 1:
		return "GET", words[0], nil
	case 2:
		return strings.ToUpper(words[0]), words[1], nil
	}
	return "", "", usageError{errors.New("give one request, for instance 'GET /api/listings?city=Lagos'")}
}

// tables asks the database for the watched tables. Without an answer their
// columns count as text, and note says so.
func (c *command) tables(ctx context.Context) (tables []coherence.Table, note string, err error) {
	db := database(c.config, nil, nil)
	if db == nil {
		return nil, "", nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	catalogue, err := catalogue.Inspect(ctx, db.Scope)
	switch {
	case err == nil:
		return catalogue.Tables, "", nil
	case !unreachable(err):
		return nil, "", mistaken(c.config, err)
	}
	for _, w := range db.Watches {
		t := coherence.Table{Name: w.Table}
		for _, column := range w.Columns {
			t.Columns = append(t.Columns, coherence.Column{Name: column, Kind: coherence.ByteText})
		}
		tables = append(tables, t)
	}
	return tables, fmt.Sprintf("note: the database was not asked, so types were not checked: %s", pgerror.Line(err)), nil
}

func (c *command) printExplanation(e *proxycache.Explanation, target string) {
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(c.stdout, "%-12s %s\n", name, value)
		}
	}
	line("request", e.Method+" "+target)
	route := e.Route
	if route == "" {
		route = "(none declared)"
	}
	line("route", route)
	line("cached", e.Why)
	line("key", e.Key)
	line("also keyed by", strings.Join(e.Vary, ", "))
	if e.OriginTarget != target {
		line("origin gets", e.OriginTarget)
	}
	line("kept", e.Lifetime)
	for _, d := range e.DependsOn {
		line("depends on", d)
	}
	for _, p := range e.PurgedBy {
		line("purged by", p)
	}
	for _, n := range e.Notes {
		line("note", n)
	}
}
