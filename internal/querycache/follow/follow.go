// Package follow makes a query cache that follows the database's log: by itself
// where it is alone, or beside proxies of the same database, whose slot and
// relay it shares (package cdc). Whoever holds the slot leads.
package follow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"walpurge/internal/cdc"
	"walpurge/internal/cdc/catalogue"
	"walpurge/internal/cdc/cdcmetrics"
	"walpurge/internal/coherence"
	"walpurge/internal/querycache"
	"walpurge/internal/relay"
)

// Config says what to follow. Namespace, Slot and Publication are those of the
// proxies beside it.
type Config struct {
	DatabaseURL string
	RedisURL    string
	Namespace   string
	Slot        string
	Publication string
	MaxLag      time.Duration // see querycache.Options
	Registry    prometheus.Registerer
	Logger      *slog.Logger

	RedisSetting string // what the operator calls RedisURL: log lines name it
}

// bulkRows is how many rows of a transaction are told apart; the proxy's default.
const bulkRows = 10_000

// Cache is a query cache with what keeps it coherent.
type Cache struct {
	*querycache.Cache
	guard    *coherence.Guard
	listener *cdc.Listener
	clients  []redis.UniversalClient
}

// Open makes a cache for queries that depend on tables. What stands in the way
// is a *catalogue.RefusalError. Attach the queries, then call Run; until then every
// query asks the database. Close it after use.
func Open(ctx context.Context, c Config, tables []querycache.Table) (f *Cache, err error) {
	f = &Cache{}
	opened := f
	defer func() {
		if err != nil {
			opened.Close()
		}
	}()
	client := func(open func(string) (redis.UniversalClient, error)) redis.UniversalClient {
		made, failure := open(c.RedisURL)
		if failure != nil {
			err = errors.Join(err, failure)
			return nil
		}
		f.clients = append(f.clients, made)
		return made
	}
	results, changes := client(querycache.RedisClient), client(relay.NewClient)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	config := cdc.Config{
		Scope: catalogue.Scope{
			URL: c.DatabaseURL, Slot: c.Slot, Publication: c.Publication, ReadAhead: catalogue.DefaultReadAhead, Logger: c.Logger,
		},
		BulkRows: bulkRows, MaxLag: c.MaxLag,
		Relay: &relay.Config{Client: changes, Setting: c.RedisSetting, Namespace: c.Namespace},
		Now:   func() coherence.Nanos { return coherence.Nanos(time.Since(began)) },
	}
	for _, t := range tables {
		config.Watches = append(config.Watches, catalogue.Watch{Table: t.Name, Columns: t.Columns, Conditions: t.Compare})
	}
	catalogue, err := catalogue.Inspect(ctx, config.Scope)
	if err != nil {
		return nil, fmt.Errorf("inspect the database for the query cache: %w", err)
	}
	for _, w := range catalogue.Warnings {
		c.Logger.Warn(w)
	}
	for _, t := range catalogue.Coarse {
		c.Logger.Warn("any change of this table counts for every value", "table", t.Table, "columns", t.Columns, "mend", t.Mend)
	}
	if f.guard, err = coherence.New(coherence.Config{Tables: catalogue.Tables}); err != nil {
		return nil, fmt.Errorf("make the guard: %w", err)
	}
	f.Cache, err = querycache.New(querycache.Options{
		Guard: f.guard, Redis: results, Namespace: c.Namespace, Now: config.Now, MaxLag: c.MaxLag,
		Registry: c.Registry, Logger: c.Logger,
	})
	if err != nil {
		return nil, err
	}
	metrics := cdcmetrics.New(c.Registry, catalogue.Tables)
	f.listener = cdc.NewListener(config, catalogue, f.guard, metrics)
	metrics.Watch(c.Registry, f.listener)
	return f, nil
}

// Run follows the log until ctx ends; then it returns nil.
func (f *Cache) Run(ctx context.Context) error { return f.listener.Run(ctx) }

// Watermark is the position up to which every commit is applied and visible.
func (f *Cache) Watermark() coherence.LSN { return f.guard.Watermark() }

// Proven tells whether there is a proof of freshness, young or old.
func (f *Cache) Proven() bool { return f.guard.Proven() != 0 }

// Close ends the connections to Redis.
func (f *Cache) Close() {
	for _, client := range f.clients {
		_ = client.Close()
	}
}
