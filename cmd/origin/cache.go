package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"walpurge/internal/cdc"
	"walpurge/internal/coherence"
	"walpurge/internal/origin"
	"walpurge/internal/querycache"
)

// cacheFlags say how named queries are cached. What the cache shares with a
// proxy has the proxy's defaults.
type cacheFlags struct {
	redis, namespace, slot, publication string
	maxLag                              time.Duration
}

func (f *cacheFlags) register(flags *flag.FlagSet) {
	flags.StringVar(&f.redis, "redis", "", "cache the results of queries in the Redis at `URL`; it needs what a proxy needs of the database: see proxy setup")
	flags.StringVar(&f.namespace, "redis-namespace", "walpurge", "what every key in Redis begins with; the same as the proxy's")
	flags.StringVar(&f.slot, "slot", "walpurge", "the replication slot; the same as the proxy's")
	flags.StringVar(&f.publication, "publication", "walpurge", "the publication; the same as the proxy's")
	flags.DurationVar(&f.maxLag, "max-lag", time.Second, "how old a cached result may be at most")
}

func (f *cacheFlags) check() error {
	switch {
	case f.redis == "":
		return nil
	case f.maxLag <= 0:
		return usageError{errors.New("-max-lag must be positive")}
	case f.namespace == "":
		return usageError{errors.New("-redis-namespace must not be empty")}
	}
	client, err := querycache.RedisClient(f.redis)
	if err != nil {
		return usageError{fmt.Errorf("-redis: %w", err)}
	}
	return client.Close()
}

// queryCache is the cache with what keeps it coherent.
type queryCache struct {
	listener *cdc.Listener
	clients  []redis.UniversalClient
}

// openCache makes the store's named queries come from Redis. It takes part in
// the slot and the relay like a proxy: whoever holds the slot leads, and that
// is this process where there is no other.
func openCache(ctx context.Context, f *cacheFlags, databaseURL string, store *origin.Store, log *slog.Logger) (c *queryCache, err error) {
	c = &queryCache{}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	began := time.Now()
	config := cdc.Config{
		URL: databaseURL, Slot: f.slot, Publication: f.publication, BulkRows: bulkRows, MaxLag: f.maxLag,
		Now: func() coherence.Nanos { return coherence.Nanos(time.Since(began)) }, Logger: log,
	}
	for _, t := range store.CachedTables() {
		config.Watches = append(config.Watches, cdc.Watch{Table: t.Name, Columns: t.Columns, Conditions: t.Compare})
	}
	catalogue, err := cdc.Inspect(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("inspect the database for the query cache: %w", err)
	}
	for _, w := range catalogue.Warnings {
		log.Warn(w)
	}
	for _, t := range catalogue.Coarse {
		log.Warn("every change of the table counts, for its old rows are not logged", "table", t.Table, "mend", t.Mend)
	}
	guard, err := coherence.New(coherence.Config{Tables: catalogue.Tables})
	if err != nil {
		return nil, fmt.Errorf("make the guard: %w", err)
	}
	client := func(open func(string) (redis.UniversalClient, error)) redis.UniversalClient {
		made, failure := open(f.redis)
		if failure != nil {
			err = errors.Join(err, failure)
			return nil
		}
		c.clients = append(c.clients, made)
		return made
	}
	results, relay := client(querycache.RedisClient), client(cdc.RelayClient)
	if err != nil {
		return nil, err
	}
	config.Relay = &cdc.Relay{Client: relay, Namespace: f.namespace}
	cache, err := querycache.New(querycache.Options{
		Guard: guard, Redis: results, Namespace: f.namespace, Now: config.Now, MaxLag: f.maxLag,
		Registry: store.Registry(), Logger: log,
	})
	if err != nil {
		return nil, err
	}
	// Before the listener: what is used from the start is fenced from the start.
	if err := store.Cache(cache); err != nil {
		return nil, err
	}
	metrics := cdc.NewMetrics(store.Registry(), catalogue.Tables)
	c.listener = cdc.NewListener(config, catalogue, guard, metrics)
	metrics.Watch(store.Registry(), c.listener)
	return c, nil
}

// bulkRows is the proxy's default.
const bulkRows = 10_000

func (c *queryCache) close() {
	for _, client := range c.clients {
		_ = client.Close()
	}
}
