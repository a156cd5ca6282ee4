package sidecar

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	neturl "net/url"
	"os"
	"regexp"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"walpurge/config"
	"walpurge/internal/coherence"
)

// tracing sends spans to an OTLP endpoint.
type tracing struct {
	provider *sdktrace.TracerProvider
	trace.Tracer
}

// tracePath is where OTLP over HTTP takes traces.
const tracePath = "/v1/traces"

// openTracing makes what sends spans. Nothing is sent before there is a span,
// and no request waits for it: what the endpoint doesn't take is dropped.
func openTracing(ctx context.Context, c *config.Tracing, log *slog.Logger) (*tracing, error) {
	url := *c.URL
	if url.Path == "" || url.Path == "/" {
		url.Path = tracePath
	}
	otel.SetLogger(logr.Discard()) // it would print what it can't read of OTEL_EXPORTER_OTLP_HEADERS, where keys stand
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(url.String()))
	if err != nil {
		return nil, errors.New("the exporter of spans takes neither tracing.url nor the variables OTEL_EXPORTER_OTLP_* as they are") // it quotes them
	}
	var said atomic.Int64
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { // there is one for the whole process
		now := time.Now().Unix()
		if last := said.Load(); now-last >= 60 && said.CompareAndSwap(last, now) {
			log.Warn("spans are lost", "error", lost(err))
		}
	}))
	host, _ := os.Hostname()
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter, sdktrace.WithBatchTimeout(time.Second)),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(c.Sample))),
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", "walpurge"), attribute.String("host.name", host))),
	)
	return &tracing{provider, provider.Tracer("walpurge")}, nil
}

// lost is why spans are lost, without the URL that the client's error quotes: it may hold a key.
func lost(err error) string {
	var of *neturl.Error
	if errors.As(err, &of) {
		return of.Err.Error()
	}
	if status := answered.FindStringSubmatch(err.Error()); status != nil {
		return "the endpoint answers " + status[1]
	}
	return "the endpoint doesn't take them"
}

// answered finds the status in the exporter's error, which also quotes the URL and the body.
var answered = regexp.MustCompile(`: ([1-5][0-9][0-9] [A-Z][A-Za-z' -]*) \(`)

// close sends what is left.
func (t *tracing) close(ctx context.Context) error {
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("send the last spans: %s", lost(err))
	}
	return nil
}

// purge tells of a transaction that dropped something.
func (t *tracing) purge(tx *coherence.Transaction, p *coherence.Purge, took time.Duration) {
	if t == nil || p.Evicted+p.Fills == 0 {
		return
	}
	end := time.Now()
	var tables []string
	for i, n := range p.Tables {
		if n > 0 {
			tables = append(tables, tx.Tables()[i].Name)
		}
	}
	_, span := t.Start(context.Background(), "purge", trace.WithTimestamp(end.Add(-took)), trace.WithAttributes(
		attribute.String("walpurge.lsn", tx.End.String()), attribute.Int("walpurge.purged", p.Evicted), attribute.Int("walpurge.fills", p.Fills),
		attribute.StringSlice("walpurge.tables", tables), attribute.String("walpurge.committed_at", tx.CommittedAt.UTC().Format(time.RFC3339Nano))))
	span.End(trace.WithTimestamp(end))
}
