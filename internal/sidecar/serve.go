package sidecar

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"walpurge/config"
	"walpurge/internal/accesslog"
	"walpurge/internal/admin"
	"walpurge/internal/cdc"
	"walpurge/internal/cdc/catalogue"
	"walpurge/internal/cdc/cdcmetrics"
	"walpurge/internal/coherence"
	"walpurge/internal/downstream"
	"walpurge/internal/proxycache"
	"walpurge/internal/proxycache/position"
	"walpurge/internal/proxycache/redistier"
	"walpurge/internal/relay"
	"walpurge/internal/upstream"
)

// serve runs the proxy until ctx ends. This is the order in which things
// start, and backwards in which they stop.
func serve(ctx context.Context, c *command) error {
	if err := c.load(); err != nil {
		return err
	}
	if err := c.noArguments(); err != nil {
		return err
	}
	// Asked early, a reload waits; otherwise it would end the program.
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)
	rotate := make(chan os.Signal, 1)
	signal.Notify(rotate, syscall.SIGUSR1, syscall.SIGHUP)
	defer signal.Stop(rotate)
	defer tuneGC()()
	log := logger(c.config, c.stderr)
	began := time.Now()
	s := &sidecar{file: c.file, config: c.config, log: log, now: func() coherence.Nanos { return coherence.Nanos(time.Since(began)) }}
	defer s.close()

	// The catalogue first: without the columns' types nothing can be compared,
	// and a configuration that doesn't fit ends here, with nothing left behind.
	if err := s.openDatabase(ctx); err != nil {
		if errors.Is(err, context.Canceled) && ctx.Err() != nil {
			log.Info("stopped") // asked to, before there was a database
			return nil
		}
		return err
	}
	if err := s.openProxy(); err != nil {
		return err
	}
	// Ports next, so that one in use is known before the slot is taken.
	if err := s.listen(ctx); err != nil {
		return err
	}
	log.Info("listening", "addr", s.proxy.Addr().String(), "admin", s.adminPort.Addr().String(), "origin", originText(c.config))
	return s.run(ctx, reload, rotate)
}

// sidecar is the running program.
type sidecar struct {
	file   string
	config *config.Config
	log    *slog.Logger
	now    func() coherence.Nanos

	catalogue *catalogue.Catalogue
	guard     *coherence.Guard // nil without PostgreSQL
	database  *cdc.Config
	listener  *cdc.Listener
	redis     io.Closer
	relay     redis.UniversalClient
	proxy     *proxycache.Proxy
	tracing   *tracing       // nil: none
	access    *accesslog.Log // nil: none; the proxy closes it
	port      net.Listener   // for clients; the proxy closes it
	adminPort net.Listener
	pages     *admin.Admin
	admin     *http.Server
}

func (s *sidecar) openDatabase(ctx context.Context) error {
	s.database = database(s.config, s.now, s.log)
	if s.database == nil {
		return nil
	}
	var err error
	if s.catalogue, err = inspect(ctx, s.config, s.database, s.log); err != nil {
		return err
	}
	if s.guard, err = coherence.New(coherence.Config{Tables: s.catalogue.Tables}); err != nil {
		return fmt.Errorf("make the guard: %w", err)
	}
	return nil
}

func (s *sidecar) openProxy() error {
	c := s.config
	var tables []coherence.Table
	if s.catalogue != nil {
		tables = s.catalogue.Tables
	}
	declared, err := routes(c, tables)
	if err != nil {
		return err
	}
	o := proxycache.Options{
		Clients: downstream.Options{
			MaxHeader: int(c.MaxHeader), IdleTimeout: c.IdleTimeout, HeaderTimeout: c.HeaderTimeout, BodyTimeout: c.BodyTimeout,
			WriteTimeout: c.WriteTimeout, Trusted: c.TrustedProxies,
		},
		Origin: upstream.Options{
			URL: c.Origin, Socket: c.OriginSocket, ConnectTimeout: c.ConnectTimeout, Timeout: c.OriginTimeout,
			Concurrency: c.OriginConcurrency, Wait: c.OriginWait,
		},
		Positions: position.Options{Cookie: c.Position.Cookie, Secret: string(c.Position.Secret), Life: c.Position.MaxAge},
		Guard:     s.guard, Routes: declared, Now: s.now, Logger: s.log,
		Memory: int64(c.Memory), MaxObject: int64(c.MaxObject), NoCompress: !c.Compress,
		FillTimeout: c.FillTimeout, JoinTimeout: c.JoinTimeout, StrictWait: c.StrictWait,
		ServerTiming: c.ServerTiming, Audit: c.Audit,
	}
	if c.TLS != nil {
		certificate, err := downstream.NewCertificate(c.TLS.Cert, c.TLS.Key, s.log)
		if err != nil {
			return config.NewErrors(c.Problem(c.Pos("tls.cert"), "%v; name a PEM certificate and its key", err))
		}
		o.Clients.TLS = certificate.Config()
	}
	if c.Redis != nil {
		redis.SetLogger(redisLog{s.log}) // there is one for the whole process
		client, err := redistier.NewClient(string(c.Redis.URL))
		if err != nil {
			return config.NewErrors(c.Problem(c.Pos("redis.url"), "%v", err))
		}
		o.Redis, s.redis = redistier.Options{Client: client, Namespace: c.Redis.Namespace}, client
	}
	if s.guard != nil {
		for _, r := range declared {
			for i := range r.Depends {
				s.guard.Use(&r.Depends[i].Template)
			}
		}
		for _, t := range named(c, tables) {
			s.guard.Use(&t)
		}
		o.Purger, o.Prove, o.Positions.Ask = purger{s}, s.prove, s.position
	}
	if a := c.AccessLog; a != nil {
		if o.Access, err = accesslog.Open(a.File, a.Format == config.AccessJSON, a.Query, s.log); err != nil {
			return config.NewErrors(c.Problem(c.Pos("access_log.file"), "%v; name a file that the proxy may write", err))
		}
		s.access = o.Access
	}
	if c.Tracing != nil {
		if s.tracing, err = openTracing(context.Background(), c.Tracing, s.log); err != nil {
			return config.NewErrors(c.Problem(c.Pos("tracing.url"), "%v; correct tracing.url", err))
		}
		o.Tracer = s.tracing
	}
	if s.proxy, err = proxycache.New(o); err != nil {
		if s.access != nil {
			s.access.Close()
		}
		return usageError{err}
	}
	s.pages = admin.New(s.proxy, admin.Options{Purger: o.Purger, Token: string(c.AdminToken), Logger: s.log, Status: s.status})
	if s.guard != nil {
		if c.Redis != nil {
			// The relay waits for entries, so it has connections of its own.
			if s.relay, err = relay.NewClient(string(c.Redis.URL)); err != nil {
				return config.NewErrors(c.Problem(c.Pos("redis.url"), "%v", err))
			}
			s.database.Relay = &relay.Config{Client: s.relay, Setting: "redis.url", Namespace: c.Redis.Namespace}
		}
		metrics := cdcmetrics.New(s.proxy.Registry(), tables)
		s.listener = cdc.NewListener(*s.database, s.catalogue, s.guard, changes{metrics, s.proxy, s.pages, s.tracing})
		metrics.Watch(s.proxy.Registry(), s.listener)
	}
	return nil
}

// status is what the admin port's /status has beside what the proxy says.
func (s *sidecar) status() map[string]any {
	if s.listener == nil {
		return nil
	}
	return map[string]any{"database": s.listener.Status()}
}

// Limits of the admin port. Profiles and scrapes take a while.
const (
	adminHeaderTimeout = 5 * time.Second
	adminWriteTimeout  = time.Minute
)

// lastSpans is how long the last spans may take on the way out.
const lastSpans = 2 * time.Second

func (s *sidecar) listen(ctx context.Context) error {
	open, err := inherited()
	if err != nil {
		return usageError{err}
	}
	if s.port, s.adminPort = open[clientPort], open[adminPort]; s.port == nil {
		if s.port, err = openPort(ctx, s.config.Listen, s.config.ReusePort); err != nil {
			return placeable(s.config, "listen", fmt.Errorf("listen for clients: %w", err))
		}
	}
	s.proxy.ListenOn(s.port)
	if s.adminPort == nil {
		if s.adminPort, err = openPort(ctx, s.config.Admin, s.config.ReusePort); err != nil {
			return placeable(s.config, "admin", fmt.Errorf("listen for administrators: %w", err))
		}
	}
	s.admin = &http.Server{
		Handler: s.pages.Handler(), ReadHeaderTimeout: adminHeaderTimeout, WriteTimeout: adminWriteTimeout,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	return nil
}

// placeable points at the key of the configuration that chose the address.
func placeable(c *config.Config, key string, err error) error {
	if pos := c.Pos(key); !pos.IsZero() {
		return config.NewErrors(c.Problem(pos, "%v; choose another address, or stop what uses it", err))
	}
	return usageError{fmt.Errorf("%w; choose another address with %s, or stop what uses it", err, key)}
}

// run serves until ctx ends or a part fails.
func (s *sidecar) run(ctx context.Context, reload, rotate <-chan os.Signal) error {
	g, ctx := errgroup.WithContext(ctx)
	// The listener outlives the requests: what is still served on the way out is
	// proven fresh too.
	listening, stopListening := context.WithCancel(context.WithoutCancel(ctx))
	if s.listener != nil {
		g.Go(func() error {
			err := s.listener.Run(listening)
			return placed(s.config, err)
		})
	}
	if s.config.Redis != nil {
		g.Go(func() error { return s.askRedis(ctx) })
	}
	g.Go(s.proxy.Serve)
	g.Go(func() error { return s.reloads(ctx, reload) })
	g.Go(func() error { return s.rotates(ctx, rotate) })
	g.Go(func() error {
		if err := s.admin.Serve(s.adminPort); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve administrators: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		s.log.Info("stopping")
		defer stopListening()
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.ShutdownTimeout)
		defer cancel()
		if s.config.ReusePort {
			leavePort(drain, s.port)
		}
		s.pages.Close()
		err := s.proxy.Close(drain)
		if err != nil {
			s.log.Warn("requests were cut off at the end", "error", err)
		}
		// Nobody's page on the admin port makes stopping a failure.
		if err := s.admin.Shutdown(drain); err != nil {
			s.log.Warn("admin requests were cut off at the end", "error", err)
			_ = s.admin.Close()
		}
		return nil
	})
	err := g.Wait()
	s.proxy = nil // closed
	if s.tracing != nil {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastSpans)
		defer cancel()
		if err := s.tracing.close(last); err != nil {
			s.log.Warn("spans are lost", "error", err)
		}
	}
	s.log.Info("stopped")
	return err
}

// close releases what openDatabase, openProxy and listen have taken when the
// start fails, and Redis in any case.
func (s *sidecar) close() {
	if s.proxy != nil {
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		_ = s.proxy.Close(ended)
	}
	if s.adminPort != nil {
		_ = s.adminPort.Close()
	}
	if s.redis != nil {
		_ = s.redis.Close()
	}
	if s.relay != nil {
		_ = s.relay.Close()
	}
}

func logger(c *config.Config, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.Log.Level}
	if c.Log.Format == config.JSON {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// originText is where the origin is, for the log.
func originText(c *config.Config) string {
	if c.OriginSocket != "" {
		return "unix:" + c.OriginSocket
	}
	return c.Origin.Redacted()
}
