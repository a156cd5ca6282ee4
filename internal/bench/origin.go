package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// page is the path of the page that everybody asks for; its id is a row of the table pages.
const page = "/page/1"

// body is the page: 2 KiB.
var body = bytes.Repeat([]byte("what a hit costs\n"), 2048/17+1)[:2048]

// responseHead is what the origin says before the body, and the floor too.
const responseHead = "HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 2048\r\n\r\n"

// counted is the origin: it counts what gets through to it.
type counted struct {
	server   *http.Server
	address  string // host:port
	requests atomic.Int64
	ended    chan error
}

func newOrigin() (*counted, error) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	o := &counted{address: listener.Addr().String(), ended: make(chan error, 1)}
	o.server = &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		o.requests.Add(1)
		w.Header().Set("Cache-Control", "max-age=3600")
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write(body)
	})}
	go func() { o.ended <- o.server.Serve(listener) }()
	return o, nil
}

func (o *counted) close() error {
	err := o.server.Close()
	if served := <-o.ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// fetch asks a server for the page and checks the answer (M4). It is an answer from a cache if mark says so; an empty
// mark is content with any.
func fetch(ctx context.Context, url, mark string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	got, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	switch {
	case err != nil:
		return err
	case response.StatusCode != http.StatusOK:
		return fmt.Errorf("status %d", response.StatusCode)
	case !bytes.Equal(got, body):
		return fmt.Errorf("a body of %d bytes that is not the origin's", len(got))
	case !bytes.HasPrefix([]byte(response.Header.Get("Cache-Status")), []byte(mark)):
		return fmt.Errorf("Cache-Status %q, want %q", response.Header.Get("Cache-Status"), mark)
	}
	return nil
}

// startPatience bounds the wait for a server's first answer from its cache.
const startPatience = 15 * time.Second

// warm asks until the server has answered from its cache three times in a row.
func warm(ctx context.Context, p *process, o *counted, url, mark string) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	retry := time.NewTicker(10 * time.Millisecond)
	defer retry.Stop()
	for inRow := 0; inRow < 3; {
		before := o.requests.Load()
		err := fetch(ctx, url, mark)
		if err == nil && o.requests.Load() == before {
			inRow++
			continue
		}
		inRow = 0
		select {
		case <-p.done:
			return p.ended()
		case <-ctx.Done():
			return fmt.Errorf("no answer from the cache of %s: %w; its log says:\n%s", p.name, errors.Join(err, ctx.Err()), p.tail())
		case <-retry.C:
		}
	}
	return nil
}
