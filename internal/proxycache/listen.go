package proxycache

import (
	"context"
	"crypto/tls"
	"errors"
	stdlog "log"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"walpurge/internal/http1"
)

// Clients speak HTTP/1.1 with package http1 and HTTP/2 with net/http, both in
// front of the same handler. With TLS the handshake decides, without it the
// first bytes do (RFC 9113 section 3.3).

// handshakeTime is how long a client may take for the TLS handshake.
const handshakeTime = 10 * time.Second

// queue is a listener that is given its connections.
type queue struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
	addr  net.Addr
}

func newQueue() *queue {
	return &queue{conns: make(chan net.Conn), done: make(chan struct{}), addr: &net.TCPAddr{}}
}

// give hands a connection over, or closes it if nobody takes it any more.
func (q *queue) give(c net.Conn) {
	select {
	case q.conns <- c:
	case <-q.done:
		_ = c.Close()
	}
}

// Accept implements net.Listener.
func (q *queue) Accept() (net.Conn, error) {
	select {
	case c := <-q.conns:
		return c, nil
	case <-q.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (q *queue) Close() error {
	q.once.Do(func() { close(q.done) })
	return nil
}

// Addr implements net.Listener.
func (q *queue) Addr() net.Addr { return q.addr }

// newHTTP2 makes the server for HTTP/2 in front of s.
func newHTTP2(s *http1.Server, o *Options) *http.Server {
	h := &http.Server{
		Handler: s, MaxHeaderBytes: s.MaxHeader, IdleTimeout: s.IdleTimeout, ReadHeaderTimeout: s.HeaderTimeout,
		Protocols: new(http.Protocols), DisableGeneralOptionsHandler: true,
	}
	h.Protocols.SetHTTP2(true)
	h.Protocols.SetUnencryptedHTTP2(true)
	h.ErrorLog = quietLog(o.Logger)
	return h
}

// quietLog takes what net/http says about single connections.
func quietLog(log *slog.Logger) *stdlog.Logger {
	return slog.NewLogLogger(log.Handler(), slog.LevelDebug)
}

// secured is a listener whose connections have their TLS handshake behind
// them. Those that speak HTTP/2 go to h2, the others are accepted.
type secured struct {
	net.Listener
	config *tls.Config
	h1, h2 *queue
	wg     sync.WaitGroup
}

func newSecured(ln net.Listener, config *tls.Config, h2 *queue) *secured {
	config = config.Clone()
	config.NextProtos = []string{"h2", "http/1.1"}
	s := &secured{Listener: ln, config: config, h1: newQueue(), h2: h2}
	go s.accept()
	return s
}

func (s *secured) accept() {
	for wait := time.Duration(0); ; {
		c, err := s.Listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			_ = s.h1.Close()
			return
		case err != nil: // out of file descriptors, most likely: others will be closed
			wait = min(max(2*wait, 5*time.Millisecond), time.Second)
			select {
			case <-time.After(wait):
			case <-s.h1.done:
			}
			continue
		}
		wait = 0
		s.wg.Go(func() { s.handshake(tls.Server(c, s.config)) })
	}
}

func (s *secured) handshake(c *tls.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTime)
	defer cancel()
	if err := c.HandshakeContext(ctx); err != nil {
		_ = c.Close()
		return
	}
	if c.ConnectionState().NegotiatedProtocol == "h2" {
		s.h2.give(c)
		return
	}
	s.h1.give(c)
}

// Accept implements net.Listener.
func (s *secured) Accept() (net.Conn, error) { return s.h1.Accept() }

// Close implements net.Listener.
func (s *secured) Close() error {
	err := s.Listener.Close()
	_ = s.h1.Close()
	return err
}
