package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// host is the site that everybody asks for, whichever server they ask. A response belongs to it.
const host = "pages.test"

// page is the path of the page that everybody asks for where there is only one; its id is a row of the table pages.
const page = "/page/1"

// pageSize is the page's where nothing else is said: 2 KiB.
const pageSize = 2048

// bodyOf is a page of so many bytes.
func bodyOf(size int) []byte {
	const line = "what a hit costs\n"
	return bytes.Repeat([]byte(line), size/len(line)+1)[:size]
}

// etag is what all pages have.
const etag = `"1"`

// headOf is what the origin says before the body, and the floor too.
func headOf(size int) []byte {
	return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nContent-Type: text/plain; charset=utf-8\r\nEtag: %s\r\nContent-Length: %d\r\n\r\n", etag, size)
}

// counted is the origin: it counts what gets through to it.
type counted struct {
	server   *http.Server
	address  string // host:port
	body     atomic.Pointer[[]byte]
	requests atomic.Int64
	ended    chan error
}

func newOrigin() (*counted, error) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	o := &counted{address: listener.Addr().String(), ended: make(chan error, 1)}
	o.resize(pageSize)
	o.server = &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		o.requests.Add(1)
		body := *o.body.Load()
		w.Header().Set("Cache-Control", "max-age=3600")
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Etag", etag)
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body)
	})}
	go func() { o.ended <- o.server.Serve(listener) }()
	return o, nil
}

// resize has pages be of so many bytes from now on.
func (o *counted) resize(size int) {
	body := bodyOf(size)
	o.body.Store(&body)
}

func (o *counted) close() error {
	err := o.server.Close()
	if served := <-o.ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// fetch asks a server for the page and checks the answer (M4): it has the origin's body, and mark in its head.
func (o *counted) fetch(ctx context.Context, address, path, mark string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		return err
	}
	request.Host = host
	request.Header.Set("Accept-Encoding", "identity")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	got, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	var head bytes.Buffer
	_ = response.Header.Write(&head) // a buffer takes everything
	switch {
	case err != nil:
		return err
	case response.StatusCode != http.StatusOK:
		return fmt.Errorf("status %d", response.StatusCode)
	case !bytes.Equal(got, *o.body.Load()):
		return fmt.Errorf("a body of %d bytes that is not the origin's", len(got))
	case !bytes.Contains(head.Bytes(), []byte(mark)):
		return fmt.Errorf("want %q in the head, got %q", mark, head.Bytes())
	}
	return nil
}

// startPatience bounds the wait for a server's first answer from its cache.
const startPatience = 20 * time.Second

// warm asks until the server has answered from its cache three times in a row.
func (o *counted) warm(ctx context.Context, p *process, address, mark string) error {
	return p.await(ctx, "answer from the cache", func(ctx context.Context) error {
		for range 3 {
			before := o.requests.Load()
			if err := o.fetch(ctx, address, page, mark); err != nil {
				return err
			}
			if o.requests.Load() != before {
				return errors.New("the request went to the origin")
			}
		}
		return nil
	})
}

// await asks until there is no error, for as long as the process runs and patience lasts.
func (p *process) await(ctx context.Context, what string, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	retry := time.NewTicker(10 * time.Millisecond)
	defer retry.Stop()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.Done:
			return p.ended()
		case <-ctx.Done():
			return fmt.Errorf("no %s of %s: %w; its log says:\n%s", what, p.name, errors.Join(err, ctx.Err()), p.tail())
		case <-retry.C:
		}
	}
}
