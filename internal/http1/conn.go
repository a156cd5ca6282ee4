package http1

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Sizes of a connection's buffers. The input starts small, so that idle
// connections are cheap, and grows to Server.MaxHeader for a large head.
const (
	inputSize  = 4 << 10
	outputKeep = 8 << 10  // an output buffer above it isn't kept
	copyBelow  = 16 << 10 // bodies up to it are copied behind their head
	batch      = 64 << 10 // pipelined responses are held back up to it
	writePiece = 256 << 10
	maxSkip    = 8 // bytes of empty lines before a request
)

// What a connection waits for. Each but active has its limit.
type phase int64

const (
	idle    phase = iota // for the next request
	reading              // for the rest of a head
	body                 // for more of a body
	writing              // for the client to take what was written
	active               // for the handler
	fresh                // for the first request
	settled              // for the next request, and was found to be there still
)

// conn is one client connection.
type conn struct {
	server *Server
	net    net.Conn
	remote net.Addr
	secure bool
	served bool // a request has come

	// state is the phase in the low three bits and the server's tick at its
	// start above. The sweeper reads it; only the serving side writes it.
	state   atomic.Int64
	recheck atomic.Bool // the sweeper has woken it to be settled

	idleMu sync.Mutex // held while somebody else finds it idle and wakes it, and while it stops being idle

	quick *quick // nil: there is none

	in   []byte // in[r:w] is read and not yet taken
	r, w int
	req  Request
	body Body
	ex   Exchange

	out  []byte // written and not yet sent
	vec  [2][]byte
	bufs net.Buffers

	wmu       sync.Mutex
	expecting bool // the client waits for 100 Continue; guarded by wmu
	hijacked  bool
	gone      func() // called when the client goes away; guarded by body.mu
	watch     *watch // guarded by body.mu
}

func newConn(s *Server, c net.Conn) *conn {
	cn := &conn{server: s, net: c, remote: c.RemoteAddr()}
	_, cn.secure = c.(*tls.Conn)
	cn.ex.c = cn
	cn.body.conn = cn
	cn.quick = newQuick(cn, c)
	cn.enter(fresh)
	return cn
}

func (c *conn) enter(p phase) {
	c.state.Store(c.server.tick.Load()<<3 | int64(p))
}

// settle notes that an idle connection has been looked at. It has been idle
// since before.
func (c *conn) settle() {
	if s := c.state.Load(); phase(s&7) == idle {
		c.state.Store(s&^7 | int64(settled))
	}
}

// serve handles one request after the other until one side ends it.
func (c *conn) serve() {
	defer func() {
		if c.hijacked {
			return
		}
		_ = c.net.Close()
	}()
	for {
		if err := c.next(); err != nil {
			if errors.Is(err, errHandOver) {
				c.handOver()
				return
			}
			c.refuse(err)
			return
		}
		c.served = true
		if !c.exchange() || c.hijacked {
			return
		}
		if c.r == c.w {
			if c.flush() != nil {
				return
			}
			if cap(c.out) > outputKeep {
				c.out = nil
			}
			if len(c.in) > inputSize {
				c.in = nil
			}
			c.r, c.w = 0, 0
			c.enter(idle)
			if c.server.stopping.Load() {
				return
			}
		}
	}
}

// next waits for a request and reads its head.
func (c *conn) next() error {
	if c.quick != nil && c.served && c.r == c.w {
		err := c.quick.serve()
		if err == nil {
			err = c.awaken()
		}
		if err != nil || c.quick.asked {
			return err
		}
	}
	if err := c.readHead(); err != nil {
		return err
	}
	c.begin()
	return nil
}

// awaken ends being idle. If the sweeper has woken the connection meanwhile,
// the reads that follow would find their time over.
func (c *conn) awaken() error {
	c.idleMu.Lock()
	c.enter(reading)
	woken := c.recheck.Swap(false)
	c.idleMu.Unlock()
	if !woken {
		return nil
	}
	return c.net.SetReadDeadline(time.Time{})
}

// begin makes an exchange of the request that was read.
func (c *conn) begin() {
	c.ex = Exchange{
		Request: &c.req, c: c, Secure: c.secure, head: string(c.req.Method) == "HEAD",
		closing: c.req.close || c.server.stopping.Load(),
	}
}

// exchange has one request handled. It reports whether another may follow.
func (c *conn) exchange() bool {
	c.enter(active)
	ex := &c.ex
	if c.req.Length != 0 {
		c.body.begin(&c.req)
		ex.Body = &c.body
		c.wmu.Lock()
		c.expecting = c.req.expect
		c.wmu.Unlock()
	}
	c.server.Handler(ex)
	if c.hijacked {
		return false
	}
	if !ex.ended {
		ex.Abort()
	}
	if ex.Body != nil {
		if err := c.flush(); err != nil {
			ex.broken = true
		}
		if ex.broken || ex.closing {
			c.net.SetReadDeadline(past) //nolint:errcheck // the connection is closed next
		}
		done := c.body.finish()
		c.takeBack()
		c.endWatch()
		if !done {
			if !ex.broken {
				c.linger()
			}
			return false
		}
	}
	c.endWatch()
	if ex.broken {
		return false
	}
	if ex.closing {
		if c.flush() == nil && c.r != c.w {
			c.linger()
		}
		return false
	}
	return true
}

// begin makes b the body of req.
func (b *Body) begin(req *Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left, b.chunked, b.inChunk, b.extension, b.ended, b.err, b.trailer = req.Length, req.Length == Chunked, false, 0, false, nil, nil
	b.conn.gone, b.conn.watch = nil, nil
	b.br = nil
	if b.chunked {
		b.left = 0
		b.br = b.conn.server.reader(b.conn)
	}
}

// takeBack returns what a chunked body's reader has read beyond the body to
// the connection.
func (c *conn) takeBack() {
	br := c.body.br
	if br == nil {
		return
	}
	c.body.br = nil
	if n := br.Buffered(); n > 0 {
		ahead, _ := br.Peek(n)
		rest := append(append(make([]byte, 0, max(inputSize, n+c.w-c.r)), ahead...), c.in[c.r:c.w]...)
		c.in, c.r, c.w = rest[:cap(rest)], 0, len(rest)
	}
	c.server.readers.Put(br)
}

// Read reads what the client sends after the head: first what came with it.
func (c *conn) Read(p []byte) (int, error) {
	if c.r < c.w {
		n := copy(p, c.in[c.r:c.w])
		c.r += n
		return n, nil
	}
	before := c.state.Load()
	c.enter(body)
	n, err := c.net.Read(p)
	c.state.Store(before)
	return n, err
}

// refuse answers what isn't a request, if there is anybody to answer.
func (c *conn) refuse(err error) {
	if c.flush() != nil {
		return
	}
	var refusal *Refusal
	if !errors.As(err, &refusal) {
		return
	}
	c.out = c.server.Refuse(c.out[:0], refusal)
	if c.flush() == nil {
		c.linger()
	}
}

// linger lets the client read the answer before the connection goes: closing
// with unread input resets it and may take the answer along.
func (c *conn) linger() {
	if half, ok := c.net.(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
		return
	}
	if c.net.SetReadDeadline(time.Now().Add(c.server.Linger)) != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, c.net, maxDrain)
}
