package proxycache

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/trace"

	"walpurge/internal/coherence"
	"walpurge/internal/http1"
)

// Options is what a Proxy is made with. Zero values mean the defaults that
// are given.
type Options struct {
	Origin       *url.URL         // scheme, host and port
	OriginSocket string           // path of the Unix socket where the origin is; empty: at Origin's host
	Guard        *coherence.Guard // nil without PostgreSQL
	Routes       []Route

	Memory    int64 // bytes of the memory tier; 256 MiB
	MaxObject int64 // bytes of the largest body that is kept; 8 MiB, at most Memory
	MaxHeader int   // bytes of a request's head; 64 KiB

	Redis     redis.UniversalClient // nil: the memory tier alone; see RedisClient. Close leaves it open
	Namespace string                // of the names in Redis; "walpurge"

	Now func() coherence.Nanos // the clock that proofs of freshness count in

	ConnectTimeout time.Duration // for a connection to the origin; 5 s
	OriginTimeout  time.Duration // until the head of the origin's response; 30 s
	FillTimeout    time.Duration // how long a fill is shared; 60 s
	JoinTimeout    time.Duration // how long a request waits for another's fill; 5 s
	StrictWait     time.Duration // how long a strict read, or one with a position, waits for its proof; 100 ms
	IdleTimeout    time.Duration // of client connections between requests; 75 s
	HeaderTimeout  time.Duration // for a client to send a head; 10 s
	BodyTimeout    time.Duration // between two pieces of a request's body; 60 s
	WriteTimeout   time.Duration // for a client to take a piece of up to 256 KiB; 10 min

	TLS *tls.Config // of the port for clients; nil: clear text

	ServerTiming bool // responses tell browsers how they were answered

	NoCompress bool // responses are sent as the origin coded them

	Audit             float64       // share of the hits on routes with dependencies that are compared with the origin, 0 to 1; wants Position
	OriginConcurrency int           // fills at one time, from sending to the end of the response; 0: no limit
	OriginWait        time.Duration // how long a fill waits for its turn; 10 s

	TrustedProxies []netip.Prefix // whose Forwarded and X-Forwarded-* are believed
	Logger         *slog.Logger   // nil: nothing is logged

	// Prove waits until everything that had been committed at since is
	// applied. nil: strict routes go to the origin.
	Prove func(ctx context.Context, since coherence.Nanos) error

	// Position is the primary's flush position at the time of the call and the
	// epoch it counts in: what a client that has just written must be able to
	// read. nil: clients are told no position.
	Position func(ctx context.Context) (Position, error)

	PositionCookie string        // the name of a cookie that carries a position beside the header field; empty: none
	PositionSecret string        // signs positions, the same in every proxy; empty: they are believed as they are
	PositionLife   time.Duration // of the cookie; longer than the longest MaxLag of the routes; 1 min

	Tracer trace.Tracer // nil: no spans

	Access *AccessLog // nil: none; Close closes it

	Purger     Purger // nil: purges are refused
	AdminToken string // bearer token for what changes state; empty: none is asked for

	// Status adds the rest of the program to the admin's /status, by name.
	Status func() map[string]any
}

// Proxy is the caching reverse proxy: New, Listen, Serve, Close.
type Proxy struct {
	opt       Options
	log       *slog.Logger
	server    *http1.Server
	http2     *http.Server
	streams   *queue                  // connections that speak HTTP/2
	routing   atomic.Pointer[routing] // replaced by Reroute
	plain     *route                  // of requests without a declared route
	memory    *memory
	redis     *redisTier
	upstream  *upstream
	fills     *fills
	positions positions
	metrics   *metrics
	dashboard *dashboard
	live      *live
	top       topKeys
	audit     *auditor // nil: no hit is audited
	started   time.Time
	scratch   sync.Pool // *[]byte, for keys
	pieces    sync.Pool // *[]byte, for bodies

	mu       sync.Mutex
	listener net.Listener
}

// New makes a proxy. It does no I/O.
func New(o Options) (*Proxy, error) {
	if o.Origin == nil || o.Origin.Host == "" || o.Origin.Scheme != "http" && o.Origin.Scheme != "https" {
		return nil, errors.New("the origin must be a URL with http or https and a host")
	}
	if o.Now == nil {
		return nil, errors.New("a clock is needed")
	}
	o.setDefaults()
	p := &Proxy{opt: o, log: o.Logger, metrics: newMetrics(), started: time.Now()}
	p.scratch.New = func() any { b := make([]byte, 0, 512); return &b }
	p.pieces.New = func() any { b := make([]byte, 32<<10); return &b }
	p.positions = positions{guard: o.Guard, cookie: o.PositionCookie, life: o.PositionLife, seal: newSeal(o.PositionSecret)}
	p.plain = &route{label: "other"}
	p.plain.counters = p.metrics.outcomes(p.plain.label)
	declared, err := p.newRouting(o.Routes)
	if err != nil {
		return nil, err
	}
	p.routing.Store(declared)
	if p.memory, err = newMemory(o.Memory, o.Guard, o.Now, p.log); err != nil {
		return nil, fmt.Errorf("make the memory tier: %w", err)
	}
	p.memory.compress = !o.NoCompress
	if o.Redis != nil {
		p.redis = newRedisTier(&p.opt, p.metrics.redis)
		p.metrics.registry.MustRegister(newRedisSizes(p.redis))
	}
	p.upstream = newUpstream(&p.opt, p.metrics.upstream.Observe)
	p.fills = &fills{
		guard: o.Guard, now: o.Now, memory: p.memory, redis: p.redis, upstream: p.upstream, positions: &p.positions, tracer: o.Tracer, log: p.log,
		counts: p.metrics.discarded, named: p.hasNamed, maxObject: o.MaxObject, timeout: o.FillTimeout, memo: newMemo(),
	}
	p.fills.flights.byKey = make(map[string]*Flight)
	p.server = &http1.Server{
		Handler: p.serve, Quick: p.serveHit, Refuse: p.refuse, MaxHeader: o.MaxHeader, HeaderTimeout: o.HeaderTimeout,
		IdleTimeout: o.IdleTimeout, BodyTimeout: o.BodyTimeout, WriteTimeout: o.WriteTimeout, Log: p.log,
	}
	p.server.SetDefaults()
	p.streams = newQueue()
	p.server.HandOver = p.streams.give
	p.http2 = newHTTP2(p.server, &p.opt)
	p.metrics.watch(p)
	if o.Access != nil {
		p.metrics.registry.MustRegister(o.Access.dropped)
	}
	p.audit = newAuditor(p)
	p.dashboard = newDashboard(p)
	p.live = newLive(p)
	return p, nil
}

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
	span(&o.ConnectTimeout, 5*time.Second)
	span(&o.OriginTimeout, 30*time.Second)
	span(&o.FillTimeout, time.Minute)
	span(&o.JoinTimeout, 5*time.Second)
	span(&o.StrictWait, 100*time.Millisecond)
	span(&o.OriginWait, 10*time.Second)
	span(&o.PositionLife, time.Minute)
	if o.Namespace == "" {
		o.Namespace = "walpurge"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// Listen opens the port for clients, HOST:PORT or unix:PATH; its address is Addr.
func (p *Proxy) Listen(addr string) error {
	network := "tcp"
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		network, addr = "unix", path
	}
	ln, err := net.Listen(network, addr)
	if err != nil {
		return fmt.Errorf("listen for clients: %w", err)
	}
	p.ListenOn(ln)
	return nil
}

// ListenOn takes a port for clients that is open already. Close closes it.
func (p *Proxy) ListenOn(ln net.Listener) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listener = ln
}

// Addr is where clients connect; nil before Listen.
func (p *Proxy) Addr() net.Addr {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener == nil {
		return nil
	}
	return p.listener.Addr()
}

// Serve answers requests until Close, after which it returns nil.
func (p *Proxy) Serve() error {
	p.mu.Lock()
	ln := p.listener
	p.mu.Unlock()
	if ln == nil {
		return errors.New("serve: Listen first")
	}
	if p.audit != nil {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go p.audit.run(ctx)
	}
	if p.opt.TLS != nil {
		ln = newSecured(ln, p.opt.TLS, p.streams)
	}
	var second error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		second = p.http2.Serve(p.streams)
	}()
	err := p.server.Serve(ln)
	_ = p.streams.Close()
	<-ended
	if !errors.Is(err, http1.ErrStopped) {
		return fmt.Errorf("serve clients: %w", err)
	}
	if !errors.Is(second, http.ErrServerClosed) && !errors.Is(second, net.ErrClosed) {
		return fmt.Errorf("serve HTTP/2 clients: %w", second)
	}
	return nil
}

// Close stops accepting, lets requests finish until ctx is done, and drops
// what is stored in memory. The error says that requests were cut off.
func (p *Proxy) Close(ctx context.Context) error {
	p.dashboard.close()
	p.live.close()
	ended := make(chan error, 1)
	go func() {
		err := p.http2.Shutdown(ctx)
		if err != nil {
			_ = p.http2.Close()
			err = fmt.Errorf("drain HTTP/2 connections: %w", err)
		}
		ended <- err
	}()
	err := errors.Join(p.server.Shutdown(ctx), <-ended)
	p.mu.Lock()
	if p.listener != nil {
		_ = p.listener.Close()
	}
	p.mu.Unlock()
	p.fills.end(ctx)
	if p.redis != nil {
		p.redis.close()
	}
	p.upstream.close()
	p.memory.close()
	if p.opt.Access != nil {
		p.opt.Access.Close()
	}
	return err
}

// Registry is where the proxy's metrics are; others may register theirs.
func (p *Proxy) Registry() *prometheus.Registry { return p.metrics.registry }
