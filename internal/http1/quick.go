package http1

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// quick serves what Server.Quick answers, at two system calls a request: one
// read and one write.
//
// A goroutine that reads from a connection tries to read, finds nothing, and
// waits for the runtime's poller: three calls a request. The read that finds
// nothing is there because [net.Conn] forgets what the poller has told it when
// a read begins. The callback of [syscall.RawConn] is called again and again
// within one such read: what arrives after the bytes that were read wakes it
// again, whether it has come before the wait or during it. So nothing has to
// be looked for before the wait.
//
// One thing is not told twice: the end of the stream, when it has arrived
// together with the last request. So the sweeper has a connection that has
// been idle for a while looked at once more (see phase settled).
type quick struct {
	c   *conn
	raw syscall.RawConn
	fn  func(uintptr) bool // turn, made once

	fd    int   // while turn runs, else -1
	asked bool  // the request in conn.req was left to Handler
	err   error // why turn has ended
}

// newQuick is nil where there is nothing to win.
func newQuick(c *conn, nc net.Conn) *quick {
	if !quickly || c.server.Quick == nil {
		return nil
	}
	sc, ok := nc.(syscall.Conn) // TLS has none
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	q := &quick{c: c, raw: raw, fd: -1}
	q.fn = q.turn
	return q
}

// serve answers requests until one comes that Quick doesn't answer, or part
// of one. REQUIRES: nothing of what was read is left, and nothing to be sent.
func (q *quick) serve() error {
	for {
		q.err, q.asked = nil, false
		err := q.raw.Read(q.fn)
		q.fd = -1
		switch {
		case err == nil:
			return q.err
		case !errors.Is(err, os.ErrDeadlineExceeded) || !q.c.recheck.Swap(false):
			return err
		}
		// The sweeper wants it known whether the client is still there.
		if err := q.c.net.SetReadDeadline(time.Time{}); err != nil {
			return err
		}
		if q.c.server.stopping.Load() {
			return os.ErrDeadlineExceeded
		}
		q.c.settle()
	}
}

// turn reads what there is and answers it. It returns false to wait for more,
// and true when serve shall end.
func (q *quick) turn(fd uintptr) bool {
	c := q.c
	q.fd = int(fd)
	for {
		if len(c.in) == 0 {
			c.in = make([]byte, inputSize)
		}
		n, errno := readNow(q.fd, c.in)
		switch {
		case errno == syscall.EAGAIN:
			q.fd = -1
			return false
		case errno == syscall.EINTR:
			continue
		case errno != 0:
			return q.end(os.NewSyscallError("read", errno))
		case n == 0:
			return q.end(io.EOF)
		}
		c.r, c.w = 0, n
		for c.r < c.w {
			if !q.request() {
				return q.end(q.err)
			}
		}
		c.r, c.w = 0, 0
		if cap(c.out) > outputKeep {
			c.out = nil
		}
		c.enter(idle)
		if c.server.stopping.Load() {
			return q.end(io.EOF)
		}
		if n < len(c.in) { // what comes from now on wakes us
			q.fd = -1
			return false
		}
	}
}

func (q *quick) end(err error) bool {
	q.fd, q.err = -1, err
	return true
}

// request answers the next request. It returns false if it can't: it isn't
// whole, isn't one, or isn't for Quick.
func (q *quick) request() bool {
	c := q.c
	var scan headScan
	n, skip, refusal := scan.find(c.in[c.r:c.w])
	if refusal != nil || skip > 0 || n == 0 || n > c.server.MaxHeader {
		c.enter(reading)
		return false // readHead knows what to do
	}
	head := c.in[c.r : c.r+n]
	c.r += n
	if refusal := c.req.parse(head); refusal != nil {
		q.err = refusal
		return false
	}
	q.asked = true
	c.begin()
	if c.req.Length != 0 || c.ex.closing || !c.server.Quick(&c.ex) {
		return false
	}
	q.asked = false
	if !c.ex.ended {
		c.ex.Abort()
	}
	if c.ex.broken || c.ex.closing {
		_ = c.flush()
		q.err = io.EOF
		return false
	}
	return true
}
