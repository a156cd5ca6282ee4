package downstream

import (
	stdlog "log"
	"log/slog"
	"net"
	"net/http"
	"sync"

	"walpurge/internal/http1"
)

// Clients speak HTTP/1.1 with package http1 and HTTP/2 with net/http, both in
// front of the same handler. With TLS the handshake decides, without it the
// first bytes do (RFC 9113 section 3.3).

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
func newHTTP2(s *http1.Server, log *slog.Logger) *http.Server {
	h := &http.Server{
		Handler: s, MaxHeaderBytes: s.MaxHeader, IdleTimeout: s.IdleTimeout, ReadHeaderTimeout: s.HeaderTimeout,
		Protocols: new(http.Protocols), DisableGeneralOptionsHandler: true,
	}
	h.Protocols.SetHTTP2(true)
	h.Protocols.SetUnencryptedHTTP2(true)
	h.ErrorLog = quietLog(log)
	return h
}

// quietLog takes what net/http says about single connections.
func quietLog(log *slog.Logger) *stdlog.Logger {
	return slog.NewLogLogger(log.Handler(), slog.LevelDebug)
}
