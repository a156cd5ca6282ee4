package upstream

import (
	"bytes"
	"context"
	"net"
	"strings"
	"sync/atomic"

	"walpurge/internal/http1"
	"walpurge/internal/rfc9111"
)

// net/http takes a response's Connection field away when close is in it, and
// with it what else it names: fields that end here would be passed on and
// stored (RFC 9110 section 7.6.1, RFC 9111 section 3.1). So the bytes are looked
// at before: such a field's other names are repeated in one of our own.

// NamedField repeats what Connection names beside close.
const NamedField = "Walpurge-Connection"

// maxHead is how much of a head is waited for; net/http refuses a longer one.
const maxHead = 256 << 10

// naming makes the connections of dial keep what Connection names.
func naming(dial func(context.Context, string, string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &namingConn{Conn: c}, nil
	}
}

// namingConn is a connection to the origin, with one request at a time.
type namingConn struct {
	net.Conn
	asked atomic.Bool // a request's head was written, and the response's has not come
	rest  []byte      // read, changed and not yet taken
	err   error       // after rest
}

// Write implements net.Conn.
func (c *namingConn) Write(p []byte) (int, error) {
	if line, _, found := bytes.Cut(p, http1.CRLF); found && bytes.HasSuffix(line, []byte(" HTTP/1.1")) {
		c.asked.Store(true)
	}
	return c.Conn.Write(p)
}

// Read implements net.Conn.
func (c *namingConn) Read(p []byte) (int, error) {
	if len(c.rest) > 0 || c.err != nil {
		return c.take(p)
	}
	n, err := c.Conn.Read(p)
	if n == 0 || !c.asked.Load() {
		return n, err
	}
	b := p[:n]
	if headEnd(b) > 0 && !bytes.Contains(b, []byte("lose")) && !bytes.Contains(b, []byte("LOSE")) && !interimHead(b) {
		c.asked.Store(false) // the commonest case: all is there and nothing is to be done
		return n, err
	}
	all := bytes.Clone(b)
	c.err = err
	for {
		end := headEnd(all)
		if end == 0 && c.err == nil && len(all) < maxHead {
			more := make([]byte, 4096)
			var n int
			n, c.err = c.Conn.Read(more)
			all = append(all, more[:n]...)
			continue
		}
		if end == 0 {
			c.rest = append(c.rest, all...)
			break
		}
		interim := interimHead(all)
		c.rest = append(c.rest, repeatNamed(all[:end])...)
		if all = all[end:]; !interim {
			c.asked.Store(false)
			c.rest = append(c.rest, all...)
			break
		}
		if len(all) == 0 { // the next head comes with a later read
			break
		}
	}
	return c.take(p)
}

// take hands out what is left, then the error.
func (c *namingConn) take(p []byte) (int, error) {
	if len(c.rest) == 0 {
		err := c.err
		c.err = nil
		return 0, err
	}
	n := copy(p, c.rest)
	if c.rest = c.rest[n:]; len(c.rest) == 0 {
		c.rest = nil
	}
	return n, nil
}

// headEnd is the length of the head that b begins with, 0 if it isn't whole.
func headEnd(b []byte) int {
	if i := bytes.Index(b, []byte("\r\n\r\n")); i >= 0 {
		return i + 4
	}
	if i := bytes.Index(b, []byte("\n\n")); i >= 0 {
		return i + 2 // net/http takes such ends
	}
	return 0
}

// interimHead tells whether b begins with an interim response.
func interimHead(b []byte) bool {
	return len(b) > 10 && string(b[:7]) == "HTTP/1." && b[9] == '1' && string(b[9:12]) != "101"
}

// repeatNamed adds a field with what Connection names beside close.
func repeatNamed(head []byte) []byte {
	var named []string
	closing := false
	for line := range bytes.SplitSeq(head, []byte("\n")) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		if !http1.EqualFold(name, "connection") {
			continue
		}
		for _, option := range rfc9111.FieldNames(strings.TrimSpace(string(value))) {
			if option == "Close" {
				closing = true
			} else {
				named = append(named, option)
			}
		}
	}
	if !closing || len(named) == 0 {
		return head
	}
	at := bytes.IndexByte(head, '\n') + 1
	field := NamedField + ": " + strings.Join(named, ", ") + "\r\n"
	return append(append(bytes.Clone(head[:at]), field...), head[at:]...)
}
