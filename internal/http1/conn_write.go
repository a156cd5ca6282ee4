package http1

import (
	"time"
)

// flush sends what was written.
func (c *conn) flush() error {
	if len(c.out) == 0 {
		return nil
	}
	err := c.write(c.out)
	c.out = c.out[:0]
	return err
}

func (c *conn) write(p []byte) error {
	if c.quick != nil && c.quick.fd >= 0 && len(p) <= writePiece {
		if n, errno := writeNow(c.quick.fd, p); errno == 0 {
			p = p[n:]
		}
	}
	for len(p) > 0 {
		piece := p[:min(len(p), writePiece)]
		c.enter(writing)
		_, err := c.net.Write(piece)
		c.enter(active)
		if err != nil {
			return err
		}
		p = p[len(piece):]
	}
	return nil
}

// writev sends the output and then body, with one system call if it fits.
func (c *conn) writev(tail []byte) error {
	first := tail[:min(len(tail), writePiece)]
	c.vec[0], c.vec[1] = c.out, first
	c.bufs = c.vec[:]
	c.enter(writing)
	_, err := c.bufs.WriteTo(c.net)
	c.enter(active)
	c.bufs = nil
	c.vec[0], c.vec[1] = nil, nil
	c.out = c.out[:0]
	if err != nil {
		return err
	}
	return c.write(tail[len(first):])
}

// wake makes a blocked read return.
func (c *conn) wake() { _ = c.net.SetReadDeadline(past) }

var past = time.Unix(1, 0)

// sendContinue tells a client that waits for it to send the body.
func (c *conn) sendContinue() error {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	if !c.expecting {
		return nil
	}
	if c.ex.started {
		return errBodyClosed
	}
	c.expecting = false
	_, err := c.net.Write([]byte("HTTP/1.1 100 Continue\r\n\r\n"))
	return err
}

func (c *conn) awaitsContinue() bool {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	return c.expecting
}
