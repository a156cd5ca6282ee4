package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"
)

// rowOrigin reads a row of the table pages for each request and answers with its version. Every contestant has one of
// its own, so that it is known who asked.
type rowOrigin struct {
	server   *http.Server
	address  string
	requests atomic.Int64
	ended    chan error
}

// rowPadding makes a response as long as a small page.
var rowPadding = strings.Repeat(" ", 500)

func newRowOrigin(pool *pgxpool.Pool) (*rowOrigin, error) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	o := &rowOrigin{address: listener.Addr().String(), ended: make(chan error, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /page/{id}", func(w http.ResponseWriter, r *http.Request) {
		o.requests.Add(1)
		id, err := strconv.Atoi(r.PathValue("id"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		var version int
		if err := pool.QueryRow(r.Context(), "SELECT version FROM pages WHERE id = $1", id).Scan(&version); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "max-age=3600")
		_, _ = fmt.Fprintf(w, "%d %d %s\n", id, version, rowPadding)
	})
	o.server = &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: mux}
	go func() { o.ended <- o.server.Serve(listener) }()
	return o, nil
}

func (o *rowOrigin) close() error {
	err := o.server.Close()
	if served := <-o.ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// parseRow reads such a response.
func parseRow(body []byte) (id, version int, err error) {
	first, rest, _ := strings.Cut(string(body[:min(len(body), 40)]), " ")
	second, _, _ := strings.Cut(rest, " ")
	id, err = strconv.Atoi(first)
	if err == nil {
		version, err = strconv.Atoi(second)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("not a page: %q", body)
	}
	return id, version, nil
}

// purger sends a PURGE for each row that the database announces, as a service that purges by a trigger does.
type purger struct {
	address string // of the cache
	client  http.Client
	sent    atomic.Int64
}

// announce has the database announce changes of the table pages, on commit.
var announce = []string{
	`CREATE FUNCTION announce() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_notify('pages', NEW.id::text); RETURN NULL; END $$`,
	`CREATE TRIGGER announce AFTER UPDATE ON pages FOR EACH ROW EXECUTE FUNCTION announce()`,
}

// announceNoMore undoes it.
var announceNoMore = []string{"DROP TRIGGER announce ON pages", "DROP FUNCTION announce"}

// run purges until ctx ends. It calls ready once it listens.
func (p *purger) run(ctx context.Context, pool *pgxpool.Pool, ready func()) (err error) {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer func() {
		_ = conn.Conn().Close(context.WithoutCancel(ctx)) // it listens: nobody else may have it
		conn.Release()
	}()
	if _, err := conn.Exec(ctx, "LISTEN pages"); err != nil {
		return err
	}
	ready()
	// Many at a time, so that no purge waits for another.
	purges, ctx := errgroup.WithContext(ctx)
	purges.SetLimit(16)
	defer func() { err = errors.Join(err, purges.Wait()) }()
	for {
		n, err := conn.Conn().WaitForNotification(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("listen for announcements: %w", err)
		}
		purges.Go(func() error {
			if err := p.purge(ctx, "/page/"+n.Payload); err != nil && ctx.Err() == nil {
				return err
			}
			return nil
		})
	}
}

func (p *purger) purge(ctx context.Context, path string) error {
	request, err := http.NewRequestWithContext(ctx, "PURGE", "http://"+p.address+path, nil)
	if err != nil {
		return err
	}
	request.Host = host
	response, err := p.client.Do(request)
	if err != nil {
		return fmt.Errorf("purge %s: %w", path, err)
	}
	_, _ = io.Copy(io.Discard, response.Body) // so that the connection can be used again
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("purge %s: status %d", path, response.StatusCode)
	}
	p.sent.Add(1)
	return nil
}
