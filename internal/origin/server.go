package origin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"walpurge/internal/querycache"
)

// Time limits of the server. A request that the database holds up is answered
// with 503 after requestTimeout, well before writeTimeout would cut it off.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 30 * time.Second
	requestTimeout    = 15 * time.Second
	writeTimeout      = 60 * time.Second
	// Longer than proxies and load balancers commonly keep a quiet connection, so
	// that they close it first and never send a request into a closing one.
	idleTimeout    = 3 * time.Minute
	drainTimeout   = 15 * time.Second
	maxHeaderBytes = 64 << 10
)

// Handler returns the whole service: API, pages, static files, health, metrics.
func Handler(store *Store, log *slog.Logger) (http.Handler, error) {
	views, err := newViews()
	if err != nil {
		return nil, err
	}
	assets, err := newAssets()
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	(&api{store: store, log: log}).routes(mux)
	(&pages{store: store, log: log, views: views, assets: assets}).routes(mux)
	mux.Handle("/metrics", promhttp.HandlerFor(store.registry, promhttp.HandlerOpts{}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(querycache.WithNeeds(r.Context(), r.Header), requestTimeout)
		defer cancel()
		mux.ServeHTTP(w, r.WithContext(ctx))
	}), nil
}

// Serve answers requests on the listener until ctx ends, then stops accepting, lets
// the requests that are under way finish within drainTimeout, and returns nil. It closes
// the listener.
func Serve(ctx context.Context, listener net.Listener, handler http.Handler, log *slog.Logger) error {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		<-groupCtx.Done()
		// ctx is over, and the requests still running need time of their own.
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
		defer cancel()
		if err := server.Shutdown(drain); err != nil {
			return errors.Join(fmt.Errorf("drain requests: %w", err), server.Close())
		}
		return nil
	})
	return group.Wait()
}
