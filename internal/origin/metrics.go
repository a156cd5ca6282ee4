package origin

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
)

// Registry is where the service's metrics are, for parts that have some of
// their own.
func (s *Store) Registry() *prometheus.Registry { return s.registry }

// queryCounter counts the statements that are sent to PostgreSQL.
type queryCounter struct{ total prometheus.Counter }

func countQueries(registry prometheus.Registerer) queryCounter {
	c := queryCounter{prometheus.NewCounter(prometheus.CounterOpts{
		Name: "origin_queries_total",
		Help: "Statements that the service has sent to PostgreSQL, reads and writes.",
	})}
	registry.MustRegister(c.total)
	return c
}

// TraceQueryStart implements pgx.QueryTracer.
func (c queryCounter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.total.Inc()
	return ctx
}

// TraceQueryEnd implements pgx.QueryTracer.
func (c queryCounter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}
