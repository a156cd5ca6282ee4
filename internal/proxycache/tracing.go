package proxycache

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"walpurge/internal/http1"
	"walpurge/internal/proxycache/outcome"
)

// w3c reads and writes traceparent and tracestate
// (https://www.w3.org/TR/trace-context/).
var w3c propagation.TraceContext

// traceFields are the client's, in the form that w3c reads.
type traceFields struct{ *http1.Exchange }

func (t traceFields) Get(name string) string { return string(http1.FieldOf(t.Exchange, name)) }
func (t traceFields) Set(string, string)     {}
func (t traceFields) Keys() []string         { return nil }

// trace begins the span of a request that the memory tier didn't answer at
// once. Without a tracer there is none, and the client's own fields go on to
// the origin as they are.
func (x *exchange) trace() {
	if x.p.opt.Tracer == nil {
		return
	}
	ctx := w3c.Extract(context.Background(), traceFields{x.Exchange})
	x.spanned, x.span = x.p.opt.Tracer.Start(ctx, "request", trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		attribute.String("http.request.method", string(x.Method)), attribute.String("http.route", x.Route.Label), attribute.String("url.path", string(x.Path))))
}

// endTrace ends the request's span.
func (x *exchange) endTrace(o outcome.Outcome, reason outcome.Reason) {
	if x.span == nil {
		return
	}
	x.span.SetName(o.Name() + " " + x.Route.Label)
	x.span.SetAttributes(attribute.String("walpurge.outcome", o.Name()), attribute.String("walpurge.reason", string(reason)),
		attribute.Int("http.response.status_code", x.Status()))
	if o == outcome.Fault {
		x.span.SetStatus(codes.Error, string(reason))
	}
	x.span.End()
	x.span = nil
}

// traceTo makes a request to the origin part of the exchange's trace.
func (x *exchange) traceTo(h http.Header) {
	if x.span != nil {
		w3c.Inject(x.spanned, propagation.HeaderCarrier(h))
	}
}
