package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"time"

	"walpurge/internal/origin"
	"walpurge/internal/querycache"
	"walpurge/internal/querycache/follow"
	"walpurge/internal/redisclient"
)

// cacheFlags say how named queries are cached. What the cache shares with a
// proxy has the proxy's defaults.
type cacheFlags struct {
	redis, namespace, slot, publication string
	maxLag                              time.Duration
}

func (f *cacheFlags) register(flags *flag.FlagSet) {
	flags.StringVar(&f.redis, "redis", "", "cache the results of queries in the Redis at `URL`; it needs of the database what a proxy needs")
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
		var wrong *redisclient.URLError
		if errors.As(err, &wrong) {
			return usageError{errors.New(wrong.Of("-redis"))}
		}
		return usageError{fmt.Errorf("-redis: %w", err)}
	}
	return client.Close()
}

// open makes the store's named queries come from Redis. nil: they don't.
func (f *cacheFlags) open(ctx context.Context, databaseURL string, store *origin.Store, log *slog.Logger) (*follow.Cache, error) {
	if f.redis == "" {
		return nil, nil
	}
	cache, err := follow.Open(ctx, follow.Config{
		DatabaseURL: databaseURL, RedisURL: f.redis, RedisSetting: "-redis", Namespace: f.namespace, Slot: f.slot, Publication: f.publication,
		MaxLag: f.maxLag, Registry: store.Registry(), Logger: log,
	}, store.CachedTables())
	if err != nil {
		return nil, err
	}
	// Before it runs: what is used from the start is fenced from the start.
	if err := store.Cache(cache.Cache); err != nil {
		cache.Close()
		return nil, err
	}
	return cache, nil
}
