package fill

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// trace begins the span of a fill, which may outlive the request that it was
// started for.
func (f *fetch) trace() {
	if f.Order.Traced == nil {
		return
	}
	var ctx context.Context
	ctx, f.span = f.fills.tracer.Start(f.Order.Traced, "fill "+f.Order.Route.Label, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("http.route", f.Order.Route.Label), attribute.Bool("walpurge.background", f.Order.Background)))
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(f.header))
}

// endTrace ends the fill's span.
func (f *fetch) endTrace() {
	if f.span == nil {
		return
	}
	s, _ := f.Look()
	f.span.SetAttributes(attribute.Int("http.response.status_code", s.fwdStatus), attribute.Bool("walpurge.kept", s.kept),
		attribute.String("walpurge.reason", string(s.Reason)))
	if s.Stage == Failed {
		f.span.SetStatus(codes.Error, string(s.Reason))
	}
	f.span.End()
}
