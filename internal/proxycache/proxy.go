package proxycache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"walpurge/internal/downstream"
	"walpurge/internal/proxycache/audit"
	"walpurge/internal/proxycache/fill"
	"walpurge/internal/proxycache/live"
	"walpurge/internal/proxycache/position"
	"walpurge/internal/proxycache/redistier"
	"walpurge/internal/proxycache/route"
	"walpurge/internal/proxycache/store"
	"walpurge/internal/upstream"
)

// Proxy is the caching reverse proxy: New, Listen, Serve, Close.
type Proxy struct {
	opt       Options
	log       *slog.Logger
	clients   *downstream.Server
	routing   atomic.Pointer[route.Table] // replaced by Reroute
	plain     *route.Route                // of requests without a declared route
	memory    *store.Memory
	redis     *redistier.Tier
	upstream  *upstream.Origin
	fills     *fill.Fills
	positions *position.Positions
	metrics   *metrics
	feed      *live.Feed
	top       topKeys
	audit     *audit.Auditor
	started   time.Time
	scratch   sync.Pool // *[]byte, for keys
	pieces    sync.Pool // *[]byte, for bodies
}

// New makes a proxy. It does no I/O.
func New(o Options) (*Proxy, error) {
	if o.Origin.URL == nil || o.Origin.URL.Host == "" || o.Origin.URL.Scheme != "http" && o.Origin.URL.Scheme != "https" {
		return nil, errors.New("the origin must be a URL with http or https and a host")
	}
	if o.Now == nil {
		return nil, errors.New("a clock is needed")
	}
	o.setDefaults()
	p := &Proxy{opt: o, log: o.Logger, metrics: newMetrics(), started: time.Now()}
	p.scratch.New = func() any { b := make([]byte, 0, 512); return &b }
	p.pieces.New = func() any { b := make([]byte, 32<<10); return &b }
	p.positions = position.New(&o.Positions, o.Guard)
	p.plain = route.NewPlain("other", p.counters("other"))
	declared, err := route.NewTable(o.Routes, nil, p.plain, o.Guard, p.counters)
	if err != nil {
		return nil, err
	}
	p.routing.Store(declared)
	if p.memory, err = store.New(o.Memory, o.Guard, o.Now, p.log); err != nil {
		return nil, fmt.Errorf("make the memory tier: %w", err)
	}
	p.memory.Compress = !o.NoCompress
	if o.Redis.Client != nil {
		p.redis = redistier.New(&o.Redis, o.MaxObject, !o.NoCompress, p.log, p.metrics.redis)
		p.metrics.registry.MustRegister(redistier.NewSizes(p.redis))
	}
	p.upstream = upstream.New(&p.opt.Origin, p.metrics.upstream.Observe)
	p.feed = live.New(o.Guard, p.memory, p.metrics.registry)
	p.audit = audit.New(audit.Options{
		Share: o.Audit, Guard: o.Guard, Ask: o.Positions.Ask, Upstream: p.upstream, MaxObject: o.MaxObject, Logger: p.log, Registry: p.metrics.registry,
	})
	p.fills = fill.New(fill.Options{
		Guard: o.Guard, Now: o.Now, Memory: p.memory, Redis: p.redis, Upstream: p.upstream, Positions: p.positions, Tracer: o.Tracer, Logger: p.log,
		Discarded: p.metrics.discarded, Named: p.feed.Named, MaxObject: o.MaxObject, Timeout: o.FillTimeout,
	})
	p.clients = downstream.New(&p.opt.Clients, p.log, p.serve, p.serveHit, p.refuse)
	p.metrics.watch(p)
	if o.Access != nil {
		p.metrics.registry.MustRegister(o.Access.Dropped)
	}
	return p, nil
}

// Listen opens the port for clients, HOST:PORT or unix:PATH; its address is Addr.
func (p *Proxy) Listen(addr string) error { return p.clients.Listen(addr) }

// ListenOn takes a port for clients that is open already. Close closes it.
func (p *Proxy) ListenOn(ln net.Listener) { p.clients.ListenOn(ln) }

// Addr is where clients connect; nil before Listen.
func (p *Proxy) Addr() net.Addr { return p.clients.Addr() }

// Serve answers requests until Close, after which it returns nil.
func (p *Proxy) Serve() error {
	if p.audit != nil {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go p.audit.Run(ctx)
	}
	return p.clients.Serve()
}

// Close stops accepting, lets requests finish until ctx is done, and drops
// what is stored in memory. The error says that requests were cut off.
func (p *Proxy) Close(ctx context.Context) error {
	p.feed.Close()
	err := p.clients.Close(ctx)
	p.fills.End(ctx)
	p.redis.Close()
	p.upstream.Close()
	p.memory.Close()
	if p.opt.Access != nil {
		p.opt.Access.Close()
	}
	return err
}

// Registry is where the proxy's metrics are; others may register theirs.
func (p *Proxy) Registry() *prometheus.Registry { return p.metrics.registry }
