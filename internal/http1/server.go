package http1

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// Handler answers one request. It must end the response with Send or Finish;
// otherwise the connection is closed.
type Handler func(*Exchange)

// Server serves HTTP/1.1. Its fields are set before Serve.
type Server struct {
	Handler Handler // answers what Quick leaves

	// Quick, if not nil, may answer a request in the place of Handler, with Send
	// and without ever waiting for anything but the client. It tells whether it
	// did. It is not asked for every request, and never for one with a body.
	Quick func(*Exchange) bool

	// Refuse appends the whole answer to what isn't a request to dst. The
	// connection is closed after it.
	Refuse func(dst []byte, r *Refusal) []byte

	// HandOver, if not nil, takes connections on which the client speaks HTTP/2
	// by prior knowledge.
	HandOver func(net.Conn)

	MaxHeader     int           // bytes of a head with its request line; 0: 64 KiB
	HeaderTimeout time.Duration // from the first byte of a head to its last; 0: 10 s
	IdleTimeout   time.Duration // between requests, and before the first; 0: 75 s
	BodyTimeout   time.Duration // between two pieces of a request's body; 0: 60 s
	WriteTimeout  time.Duration // for the client to take a piece of up to 256 KiB; 0: 10 min
	Linger        time.Duration // after a refusal, for the client to read it; 0: 500 ms
	Log           *slog.Logger  // nil: none

	tick     atomic.Int64 // counts sweeps
	sweep    time.Duration
	pausing  atomic.Bool // nothing more is accepted
	stopping atomic.Bool
	readers  sync.Pool

	accepting sync.WaitGroup // the loops of Serve
	mu        sync.Mutex
	listeners []net.Listener
	conns     map[*conn]struct{}
	done      chan struct{} // closed when the sweeper shall end
	idleWait  chan struct{} // closed when the last connection is gone after stopping
}

// SetDefaults fills in what is zero. Serve does it too; ServeHTTP wants it
// done.
func (s *Server) SetDefaults() {
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	set(&s.HeaderTimeout, 10*time.Second)
	set(&s.IdleTimeout, 75*time.Second)
	set(&s.BodyTimeout, time.Minute)
	set(&s.WriteTimeout, 10*time.Minute)
	set(&s.Linger, 500*time.Millisecond)
	if s.MaxHeader <= 0 {
		s.MaxHeader = 64 << 10
	}
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
}

func (s *Server) prepare() {
	s.SetDefaults()
	// A limit is kept to within a quarter of itself.
	s.sweep = min(time.Second, s.HeaderTimeout/4, s.IdleTimeout/4, s.BodyTimeout/4, s.WriteTimeout/4)
	s.conns = make(map[*conn]struct{})
	s.done = make(chan struct{})
	s.idleWait = make(chan struct{})
	go s.sweeper()
}

// ErrStopped is returned by Serve after Shutdown.
var ErrStopped = errors.New("server stopped")

// Serve accepts connections on ln until Shutdown, which makes it return
// ErrStopped. It may be called for several listeners.
func (s *Server) Serve(ln net.Listener) error {
	s.mu.Lock()
	if s.pausing.Load() || s.stopping.Load() {
		s.mu.Unlock()
		_ = ln.Close()
		return ErrStopped
	}
	if s.conns == nil {
		s.prepare()
	}
	s.listeners = append(s.listeners, ln)
	s.accepting.Add(1)
	s.mu.Unlock()
	defer s.accepting.Done()
	for backoff := time.Duration(0); ; {
		nc, err := ln.Accept()
		if err != nil {
			if s.pausing.Load() {
				return ErrStopped
			}
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("accept: %w", err)
			}
			// Out of file descriptors, most likely: others will be closed.
			backoff = min(max(2*backoff, 5*time.Millisecond), time.Second)
			s.Log.Warn("accept", "error", err)
			select {
			case <-time.After(backoff):
			case <-s.done:
			}
			continue
		}
		backoff = 0
		c := newConn(s, nc)
		s.mu.Lock()
		s.conns[c] = struct{}{}
		s.mu.Unlock()
		go s.run(c)
	}
}

// run serves a connection. A handler that panics loses its connection and no
// other.
func (s *Server) run(c *conn) {
	defer func() {
		if p := recover(); p != nil {
			s.Log.Error("handler panicked", "panic", p, "stack", string(debug.Stack()))
			_ = c.net.Close()
		}
		s.mu.Lock()
		delete(s.conns, c)
		if s.stopping.Load() && len(s.conns) == 0 {
			s.allGone()
		}
		s.mu.Unlock()
	}()
	c.serve()
}

// allGone wakes Shutdown. REQUIRES: s.mu held.
func (s *Server) allGone() {
	select {
	case <-s.idleWait:
	default:
		close(s.idleWait)
	}
}

// reader makes a buffered reader for a chunked body.
func (s *Server) reader(c *conn) *bufio.Reader {
	if br, ok := s.readers.Get().(*bufio.Reader); ok {
		br.Reset(c)
		return br
	}
	return bufio.NewReaderSize(c, inputSize)
}

// Connections is how many connections are open.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// sweeper ends what waits for too long. Deadlines kept this way cost a
// request nothing.
func (s *Server) sweeper() {
	t := time.NewTicker(s.sweep)
	defer t.Stop()
	for {
		select {
		case <-s.done:
			return
		case <-t.C:
		}
		s.tick.Add(1)
		s.mu.Lock()
		for c := range s.conns {
			s.check(c)
		}
		s.mu.Unlock()
	}
}

func (s *Server) check(c *conn) {
	state := c.state.Load()
	waited := time.Duration(s.tick.Load()-state>>3) * s.sweep
	switch phase(state & 7) {
	case fresh, idle, settled:
		switch {
		case waited > s.IdleTimeout:
			c.wake()
		case phase(state&7) == idle && waited > s.sweep && c.quick != nil:
			c.idleMu.Lock()
			if c.state.Load() == state {
				c.recheck.Store(true)
				c.wake()
			}
			c.idleMu.Unlock()
		}
	case reading:
		if waited > s.HeaderTimeout {
			c.wake()
		}
	case body:
		if waited > s.BodyTimeout {
			c.wake()
		}
	case writing:
		if waited > s.WriteTimeout {
			_ = c.net.Close()
		}
	}
}

// freshGrace is how long a connection that has just been accepted may take for
// its first request when the server stops.
const freshGrace = time.Second

// pause makes every loop of Serve return. What has been accepted by then is
// served.
func (s *Server) pause() {
	s.mu.Lock()
	s.pausing.Store(true)
	for _, ln := range s.listeners {
		// A listener may be shared with a process that goes on: interrupting the
		// wait leaves alone what it holds.
		if d, ok := ln.(interface{ SetDeadline(time.Time) error }); !ok || d.SetDeadline(past) != nil {
			_ = ln.Close()
		}
	}
	s.mu.Unlock()
	s.accepting.Wait()
}

// Shutdown stops accepting, ends idle connections and waits until the others
// have had their response, or until ctx is done; then it closes them and
// returns ctx's error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.pause()
	s.mu.Lock()
	if s.stopping.Swap(true) {
		s.mu.Unlock()
		return nil
	}
	for _, ln := range s.listeners {
		_ = ln.Close()
	}
	if s.conns == nil {
		s.mu.Unlock()
		return nil
	}
	if len(s.conns) == 0 {
		s.allGone()
	}
	s.mu.Unlock()
	defer close(s.done)
	t := time.NewTicker(20 * time.Millisecond)
	defer t.Stop()
	for began := time.Now(); ; {
		s.endIdle(time.Since(began) > freshGrace)
		select {
		case <-s.idleWait:
			return nil
		case <-ctx.Done():
			s.closeAll()
			return fmt.Errorf("drain connections: %w", ctx.Err())
		case <-t.C:
		}
	}
}

func (s *Server) endIdle(freshToo bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if p := phase(c.state.Load() & 7); p == idle || p == settled || p == fresh && freshToo {
			c.wake()
		}
	}
}

func (s *Server) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.net.Close()
	}
}
