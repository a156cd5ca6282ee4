package http1

import (
	"bytes"
	"errors"
	"net"
	"os"
	"time"
)

// readHead reads and parses the next head.
func (c *conn) readHead() error {
	var scan headScan
	skipped := 0
	for {
		if c.r < c.w {
			n, skip, refusal := scan.find(c.in[c.r:c.w])
			if refusal != nil {
				return refusal
			}
			if skip > 0 {
				if skipped += skip; skipped > maxSkip {
					return errRequestLine
				}
				c.r += skip
				continue
			}
			if n > 0 {
				if n > c.server.MaxHeader {
					return errTooLarge
				}
				head := c.in[c.r : c.r+n]
				if !c.served && c.server.HandOver != nil && string(head) == preface {
					return errHandOver
				}
				c.r += n
				if refusal := c.req.parse(head); refusal != nil {
					return refusal
				}
				return nil
			}
			if refusal := c.tooLarge(&scan); refusal != nil {
				return refusal
			}
			// What was held back for this request goes out before the wait for it.
			if err := c.flush(); err != nil {
				return err
			}
		}
		if err := c.fill(); err != nil {
			return err
		}
	}
}

// preface is what a client that knows that this server speaks HTTP/2 begins
// with (RFC 9113 section 3.4), up to its empty line.
const preface = "PRI * HTTP/2.0\r\n\r\n"

var errHandOver = errors.New("the client speaks HTTP/2")

// handOver gives the connection away, with what was read of it.
func (c *conn) handOver() {
	c.hijacked = true
	_ = c.net.SetReadDeadline(time.Time{})
	c.server.HandOver(&ahead{Conn: c.net, read: bytes.Clone(c.in[c.r:c.w])})
}

// ahead is a connection of which something has been read already.
type ahead struct {
	net.Conn
	read []byte
}

// Read gives first what has been read already.
func (a *ahead) Read(p []byte) (int, error) {
	if len(a.read) > 0 {
		n := copy(p, a.read)
		a.read = a.read[n:]
		return n, nil
	}
	return a.Conn.Read(p)
}

func (c *conn) tooLarge(scan *headScan) *Refusal {
	switch {
	case c.w-c.r <= c.server.MaxHeader:
		return nil
	case !scan.begun:
		return errTargetLong
	}
	return errTooLarge
}

// fill reads more of a head.
func (c *conn) fill() error {
	if c.r > 0 {
		copy(c.in, c.in[c.r:c.w])
		c.w -= c.r
		c.r = 0
	}
	if c.w == len(c.in) {
		in := make([]byte, max(inputSize, min(2*len(c.in), c.server.MaxHeader+inputSize)))
		copy(in, c.in[:c.w])
		c.in = in
	}
	if c.w > 0 && phase(c.state.Load()&7) == active {
		c.enter(reading)
	}
	n, err := c.net.Read(c.in[c.w:])
	if n == 0 {
		if c.w > c.r && errors.Is(err, os.ErrDeadlineExceeded) {
			return errSlow
		}
		return err
	}
	if c.w == 0 {
		c.enter(reading)
	}
	c.w += n
	return nil
}
