package proxycache

import (
	"context"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/trace"

	"walpurge/internal/accesslog"
	"walpurge/internal/coherence"
	"walpurge/internal/downstream"
	"walpurge/internal/proxycache/position"
	"walpurge/internal/proxycache/redistier"
	"walpurge/internal/proxycache/route"
	"walpurge/internal/upstream"
)

// Options is what a Proxy is made with. Zero values mean the defaults that
// are given.
type Options struct {
	Clients   downstream.Options
	Origin    upstream.Options
	Redis     redistier.Options
	Positions position.Options

	Guard  *coherence.Guard // nil without PostgreSQL
	Routes []route.Declaration

	Memory    int64 // bytes of the memory tier; 256 MiB
	MaxObject int64 // bytes of the largest body that is kept; 8 MiB, at most Memory

	Now func() coherence.Nanos // the clock that proofs of freshness count in

	FillTimeout time.Duration // how long a fill is shared; 60 s
	JoinTimeout time.Duration // how long a request waits for another's fill; 5 s
	StrictWait  time.Duration // how long a strict read, or one with a position, waits for its proof; 100 ms

	ServerTiming bool // responses tell browsers how they were answered

	NoCompress bool // responses are sent as the origin coded them

	Audit float64 // share of the hits on routes with dependencies that are compared with the origin, 0 to 1; wants Positions.Ask

	Logger *slog.Logger // nil: nothing is logged

	// Prove waits until everything that had been committed at since is
	// applied. nil: strict routes go to the origin.
	Prove func(ctx context.Context, since coherence.Nanos) error

	Tracer trace.Tracer // nil: no spans

	Access *accesslog.Log // nil: none; Close closes it

	Purger Purger // ends groups in the log; nil: in this process alone
}

// setDefaults fills in the defaults.
func (o *Options) setDefaults() {
	size := func(n *int64, v int64) {
		if *n <= 0 {
			*n = v
		}
	}
	span := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	size(&o.Memory, 256<<20)
	size(&o.MaxObject, 8<<20)
	o.MaxObject = min(o.MaxObject, o.Memory)
	span(&o.Origin.ConnectTimeout, 5*time.Second)
	span(&o.Origin.Timeout, 30*time.Second)
	span(&o.FillTimeout, time.Minute)
	span(&o.JoinTimeout, 5*time.Second)
	span(&o.StrictWait, 100*time.Millisecond)
	span(&o.Origin.Wait, 10*time.Second)
	span(&o.Positions.Life, time.Minute)
	if o.Redis.Namespace == "" {
		o.Redis.Namespace = "walpurge"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}
