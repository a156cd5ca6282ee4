package sidecar

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"walpurge/internal/admin"
	"walpurge/internal/cdc/cdcmetrics"
	"walpurge/internal/coherence"
	"walpurge/internal/proxycache"
	"walpurge/internal/redisclient"
)

// What the listener, the proxy and Redis tell each other: neither knows the others.

// changes counts what is applied and shows the last of it on the dashboard.
type changes struct {
	*cdcmetrics.Metrics
	proxy   *proxycache.Proxy
	pages   *admin.Admin
	tracing *tracing
}

// Applied implements cdc.Observer.
func (c changes) Applied(tx *coherence.Transaction, p *coherence.Purge, took time.Duration) {
	c.Metrics.Applied(tx, p, took)
	c.tracing.purge(tx, p, took)
	for t, ops := range tx.Rows {
		purged := p.Tables[t] // known of the table, shown with its first operation
		for op, rows := range ops {
			if rows > 0 {
				table, op := tx.Tables()[t].Name, coherence.Op(op).String()
				c.proxy.Changed(table, op, rows, tx.End)
				c.pages.Changed(table, op, rows, purged, took)
				purged = 0
			}
		}
	}
}

// askRedis says loudly when Redis refuses what is needed of it: the proxy serves without Redis, and the counters alone would
// tell. A Redis that isn't there yet is waited for.
func (s *sidecar) askRedis(ctx context.Context) error {
	for {
		err := redisAccess(ctx, s.config)
		var refused *redisclient.RefusalError
		switch {
		case errors.As(err, &refused):
			s.log.Error("Redis is of no use like this", "error", err, "needs", redisclient.Rights(s.config.Redis.Namespace))
			return nil
		case err == nil || ctx.Err() != nil:
			return nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(askRedisAgain):
		}
	}
}

// askRedisAgain is how often a Redis that doesn't answer is asked what it allows.
const askRedisAgain = 5 * time.Second

// purger lets the admin port write purges into the log.
type purger struct{ *sidecar }

// Purge implements proxycache.Purger.
func (p purger) Purge(ctx context.Context, groups []string) (coherence.LSN, error) {
	return p.listener.EmitPurge(ctx, groups)
}

// prove waits until everything that had been committed at since is applied.
// Reads that arrive together share one question to the primary.
func (s *sidecar) prove(ctx context.Context, since coherence.Nanos) error {
	proven, cancel := s.guard.WaitProven(since)
	defer cancel()
	if _, err := s.listener.FlushPosition(ctx); err != nil {
		return err
	}
	select {
	case <-proven:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// position is where the log ends now, for a client that has just written. A
// new epoch meanwhile makes it one of another epoch, which asks for more, not less.
func (s *sidecar) position(ctx context.Context) (coherence.Position, error) {
	epoch := s.guard.Epoch()
	lsn, err := s.listener.FlushPosition(ctx)
	return coherence.Position{Epoch: epoch, LSN: lsn}, err
}

// redisLog takes what the Redis client says about its connections. Failed
// requests are counted by the Redis tier; this is for looking into them.
type redisLog struct{ *slog.Logger }

// Printf implements the client's logger.
func (l redisLog) Printf(ctx context.Context, format string, v ...any) {
	l.DebugContext(ctx, fmt.Sprintf(format, v...), "from", "redis")
}
