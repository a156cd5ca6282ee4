package http1

import (
	"bytes"
	"errors"
	"net"
	"strconv"
)

// Exchange is one request and its response. It is used from the handler's
// goroutine, save for Body.
type Exchange struct {
	*Request
	Body *Body // nil if the request has none

	// Secure tells that the client's connection is encrypted.
	Secure bool

	// Note is the handler's own, for whoever looks at the exchange at its end.
	Note struct{ Route, Outcome, Reason string }

	// Found is what Quick has found out for Handler.
	Found any

	c       *conn    // nil if there is
	foreign *foreign // another server's side
	status  int      // of the response, 0 before
	sent    int64    // bytes of the body
	head    bool     // a HEAD request
	closing bool     // the connection ends with this exchange
	started bool     // guarded by conn.wmu where the body may be read elsewhere
	ended   bool
	broken  bool
	chunked bool
	left    int64 // of the announced body; Unknown if none was announced
	silent  bool  // the response has no body
}

// Unknown is the length of a response body that isn't known beforehand.
const Unknown = -1

var (
	errStarted = errors.New("send response: already started")
	errTooLong = errors.New("send response: longer than announced")
	errForeign = errors.New("take the connection over: it carries other requests too")
	errShort   = errors.New("send response: shorter than announced")
)

// RemoteAddr is the client's address; nil of an exchange that nobody has begun.
func (ex *Exchange) RemoteAddr() net.Addr {
	if ex.foreign != nil {
		return ex.foreign.remote
	}
	if ex.c == nil {
		return nil
	}
	return ex.c.remote
}

// Protocol is the version of HTTP that the client speaks, as Via spells it.
func (ex *Exchange) Protocol() string {
	switch {
	case ex.foreign != nil:
		return "2"
	case ex.Minor == 0:
		return "1.0"
	}
	return "1.1"
}

// CloseAfter ends the connection after this response.
func (ex *Exchange) CloseAfter() { ex.closing = true }

// Buffer is where a head for Send is built by appending. It already holds
// what earlier, pipelined requests were answered.
func (ex *Exchange) Buffer() []byte {
	if ex.foreign != nil {
		return ex.foreign.buffer
	}
	return ex.c.out
}

// Send sends a whole response. head is Buffer with the status line and every
// field, Content-Length included, appended, without the empty line; body is
// not changed or kept. It waits for more only while the client has sent more
// requests.
func (ex *Exchange) Send(head, body []byte) error {
	if ex.ended || ex.started {
		return errStarted
	}
	if ex.foreign != nil {
		return ex.sendForeign(head, body)
	}
	c := ex.c
	ex.begin()
	ex.ended = true
	ex.status = statusOf(head[len(c.out):])
	c.out = ex.endHead(head)
	if ex.head {
		body = nil
	}
	ex.sent = int64(len(body))
	var err error
	switch {
	case len(body) > copyBelow:
		err = c.writev(body)
	default:
		c.out = append(c.out, body...)
		if c.r == c.w || len(c.out) > batch {
			err = c.flush()
		}
	}
	if err != nil {
		ex.broken = true
	}
	return err
}

// begin marks the response as started.
func (ex *Exchange) begin() {
	if ex.c.server.stopping.Load() {
		ex.closing = true
	}
	if ex.Body == nil {
		ex.started = true
		return
	}
	ex.c.wmu.Lock()
	ex.started = true
	if ex.c.expecting {
		// The client may send the body or not: nobody can tell (H1).
		ex.closing = true
	}
	ex.c.wmu.Unlock()
}

func (ex *Exchange) endHead(head []byte) []byte {
	switch {
	case ex.closing:
		head = append(head, "Connection: close\r\n\r\n"...)
	case ex.Minor == 0:
		head = append(head, "Connection: keep-alive\r\n\r\n"...)
	default:
		head = append(head, '\r', '\n')
	}
	return head
}

// Interim sends a response of status 1xx other than 101; head is its status
// line and fields without the empty line.
func (ex *Exchange) Interim(head []byte) error {
	if ex.started || ex.Minor == 0 {
		return nil
	}
	if ex.foreign != nil {
		if bytes.HasPrefix(head, []byte("HTTP/1.1 100")) {
			return nil // net/http sends it when the body is first read
		}
		return ex.foreign.writeHead(head, Unknown)
	}
	ex.c.wmu.Lock()
	defer ex.c.wmu.Unlock()
	if bytes.HasPrefix(head, []byte("HTTP/1.1 100")) {
		if !ex.c.expecting {
			return nil
		}
		ex.c.expecting = false
	}
	if err := ex.c.flush(); err != nil {
		return err
	}
	_, err := ex.c.net.Write(append(head, '\r', '\n'))
	return err
}

// Status is that of the response, 0 before there is one.
func (ex *Exchange) Status() int { return ex.status }

// Sent is how many bytes of a body have been sent.
func (ex *Exchange) Sent() int64 { return ex.sent }

// statusOf reads the status of a head, HTTP/1.1 NNN and more.
func statusOf(head []byte) int {
	const at = len("HTTP/1.1 ")
	if len(head) < at+3 {
		return 0
	}
	return int(head[at]-'0')*100 + int(head[at+1]-'0')*10 + int(head[at+2]-'0')
}

// Flush sends what pipelined requests before this one were answered. Whoever
// makes the client wait calls it first.
func (ex *Exchange) Flush() error {
	if ex.foreign != nil {
		return nil
	}
	return ex.c.flush()
}

// Start sends the head of a response whose body follows with Write and
// Finish. head is the status line and the fields without Content-Length and
// the empty line. length is the body's, or Unknown. Of a response that has no
// body by its status or method, length is announced where RFC 9110 section
// 8.6 allows it; Write must not be called then, Finish must.
func (ex *Exchange) Start(status int, head []byte, length int64) error {
	if ex.ended || ex.started {
		return errStarted
	}
	if ex.foreign != nil {
		return ex.startForeign(status, head, length)
	}
	ex.begin()
	c := ex.c
	ex.left, ex.status = length, status
	switch {
	case status < 200 || status == 204:
		ex.silent = true
	case ex.head || status == 304:
		ex.silent = true
		if length >= 0 {
			head = appendLength(head, length)
		}
	case length >= 0:
		head = appendLength(head, length)
	case ex.Minor > 0:
		ex.chunked = true
		head = append(head, "Transfer-Encoding: chunked\r\n"...)
	default:
		ex.closing = true
	}
	c.out = append(c.out, ex.endHead(head)...)
	if err := c.flush(); err != nil {
		ex.broken = true
		return err
	}
	return nil
}

func appendLength(head []byte, n int64) []byte {
	head = append(head, "Content-Length: "...)
	head = strconv.AppendInt(head, n, 10)
	return append(head, '\r', '\n')
}

// Silent tells, after Start, that the response has no body.
func (ex *Exchange) Silent() bool { return ex.silent }

// Started tells whether the response has begun.
func (ex *Exchange) Started() bool { return ex.started }

// Write sends a piece of the body at once.
func (ex *Exchange) Write(p []byte) (int, error) {
	if ex.silent || len(p) == 0 {
		return len(p), nil
	}
	ex.sent += int64(len(p))
	if ex.left >= 0 {
		if int64(len(p)) > ex.left {
			return 0, errTooLong
		}
		ex.left -= int64(len(p))
	}
	if ex.foreign != nil {
		return ex.writeForeign(p)
	}
	c := ex.c
	if ex.chunked {
		c.out = strconv.AppendInt(c.out, int64(len(p)), 16)
		c.out = append(c.out, '\r', '\n')
	}
	var err error
	if len(p) > copyBelow {
		err = c.writev(p)
		if ex.chunked {
			c.out = append(c.out, '\r', '\n')
		}
	} else {
		c.out = append(c.out, p...)
		if ex.chunked {
			c.out = append(c.out, '\r', '\n')
		}
	}
	if err == nil {
		err = c.flush()
	}
	if err != nil {
		ex.broken = true
		return 0, err
	}
	return len(p), nil
}

// Finish ends the body. trailer is lines with CRLF, sent if the body is
// chunked. A body shorter than announced breaks the connection (H2).
func (ex *Exchange) Finish(trailer []byte) error {
	if ex.ended {
		return nil
	}
	ex.ended = true
	if ex.broken {
		return nil
	}
	if !ex.silent && ex.left > 0 {
		ex.broken = true
		return errShort
	}
	if ex.foreign != nil {
		ex.foreign.end(trailer)
		return nil
	}
	if ex.chunked {
		ex.c.out = append(ex.c.out, "0\r\n"...)
		ex.c.out = append(ex.c.out, trailer...)
		ex.c.out = append(ex.c.out, '\r', '\n')
	}
	if err := ex.c.flush(); err != nil {
		ex.broken = true
		return err
	}
	return nil
}

// Abort gives the response up: what was sent stays sent and the connection is
// closed, so that the client sees that something is missing (H2).
func (ex *Exchange) Abort() {
	ex.ended, ex.broken = true, true
	if ex.foreign != nil {
		return
	}
	ex.c.out = ex.c.out[:0]
}

// Hijack sends head, a 101 response without its empty line, and takes the
// connection over. ahead is what the client has sent already. The caller
// closes the connection.
func (ex *Exchange) Hijack(head []byte) (conn net.Conn, ahead []byte, err error) {
	if ex.foreign != nil {
		return nil, nil, errForeign
	}
	c := ex.c
	c.endWatch()
	ex.begin()
	ex.status = statusOf(head)
	c.out = append(append(c.out, head...), '\r', '\n')
	if err := c.flush(); err != nil {
		ex.broken = true
		return nil, nil, err
	}
	ahead = bytes.Clone(c.in[c.r:c.w])
	c.hijacked, ex.ended = true, true
	c.enter(active)
	return c.net, ahead, nil
}
