// Package downstream is the clients' side: the port, TLS and its certificate,
// HTTP/1.1 and HTTP/2 before one handler, and who asked for which URL where
// proxies are trusted. It knows package http1 and nothing of what is behind the
// handler.
package downstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"walpurge/internal/http1"
)

// Options is what the port for clients is made with.
type Options struct {
	TLS       *tls.Config // nil: clear text
	MaxHeader int         // bytes of a request's head; 64 KiB

	IdleTimeout   time.Duration // of connections between requests; 75 s
	HeaderTimeout time.Duration // for a client to send a head; 10 s
	BodyTimeout   time.Duration // between two pieces of a request's body; 60 s
	WriteTimeout  time.Duration // for a client to take a piece of up to 256 KiB; 10 min

	Trusted Trust // whose Forwarded and X-Forwarded-* are believed
}

// Server is the port for clients. Those who speak HTTP/1.1 and those who
// speak HTTP/2 come to the same handler.
type Server struct {
	h1      *http1.Server
	h2      *http.Server
	streams *queue      // connections that speak HTTP/2
	tls     *tls.Config // nil: clear text

	mu struct {
		sync.Mutex
		listener net.Listener // nil until there is one
	}
}

// New makes a server. quick is asked first, and tells whether it has
// answered; refuse appends the answer to what is no request. It does no I/O.
func New(o *Options, log *slog.Logger, handler http1.Handler, quick func(*http1.Exchange) bool, refuse func([]byte, *http1.Refusal) []byte) *Server {
	s := &Server{
		h1: &http1.Server{
			Handler: handler, Quick: quick, Refuse: refuse, MaxHeader: o.MaxHeader, HeaderTimeout: o.HeaderTimeout,
			IdleTimeout: o.IdleTimeout, BodyTimeout: o.BodyTimeout, WriteTimeout: o.WriteTimeout, Log: log,
		},
		streams: newQueue(), tls: o.TLS,
	}
	s.h1.SetDefaults()
	s.h1.HandOver = s.streams.give
	s.h2 = newHTTP2(s.h1, log)
	return s
}

// Listen opens the port, HOST:PORT or unix:PATH; its address is Addr.
func (s *Server) Listen(addr string) error {
	network := "tcp"
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		network, addr = "unix", path
	}
	ln, err := net.Listen(network, addr)
	if err != nil {
		return fmt.Errorf("listen for clients: %w", err)
	}
	s.ListenOn(ln)
	return nil
}

// ListenOn takes a port that is open already; Close closes it.
func (s *Server) ListenOn(ln net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.listener = ln
}

// Addr is where clients connect; nil without a port.
func (s *Server) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.listener == nil {
		return nil
	}
	return s.mu.listener.Addr()
}

// Connections is how many of them speak HTTP/1.1.
func (s *Server) Connections() int { return s.h1.Connections() }

// Serve answers requests until Close, after which it returns nil.
func (s *Server) Serve() error {
	s.mu.Lock()
	ln := s.mu.listener
	s.mu.Unlock()
	if ln == nil {
		return errors.New("serve: Listen first")
	}
	if s.tls != nil {
		ln = newSecured(ln, s.tls, s.streams)
	}
	var second error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		second = s.h2.Serve(s.streams)
	}()
	err := s.h1.Serve(ln)
	_ = s.streams.Close()
	<-ended
	if !errors.Is(err, http1.ErrStopped) {
		return fmt.Errorf("serve clients: %w", err)
	}
	if !errors.Is(second, http.ErrServerClosed) && !errors.Is(second, net.ErrClosed) {
		return fmt.Errorf("serve HTTP/2 clients: %w", second)
	}
	return nil
}

// ServeOn answers those who speak HTTP/1.1 on another listener, too.
func (s *Server) ServeOn(ln net.Listener) error { return s.h1.Serve(ln) }

// Close stops accepting and lets requests finish until ctx is done. The error
// says that some were cut off.
func (s *Server) Close(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() {
		err := s.h2.Shutdown(ctx)
		if err != nil {
			_ = s.h2.Close()
			err = fmt.Errorf("drain HTTP/2 connections: %w", err)
		}
		ended <- err
	}()
	err := errors.Join(s.h1.Shutdown(ctx), <-ended)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.listener != nil {
		_ = s.mu.listener.Close()
	}
	return err
}
