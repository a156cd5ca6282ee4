package http1

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// foreign is the client's side of an exchange that another server speaks with
// it: net/http, for HTTP/2. What is said of connections in this package is its
// business then.
type foreign struct {
	w       http.ResponseWriter
	control *http.ResponseController
	r       *http.Request
	remote  net.Addr
	buffer  []byte // of Buffer
	stop    func() bool

	bodyTimeout, writeTimeout time.Duration
}

// ServeHTTP makes the server's handler one for net/http. It is for HTTP/2,
// whose framing leaves no doubt where a message ends.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	req, err := fromHTTP(r)
	if err != nil {
		var refusal *Refusal
		if !errors.As(err, &refusal) {
			refusal = errRequestLine
		}
		ex := &Exchange{Request: &Request{Method: []byte(r.Method), Minor: 1}, foreign: newForeign(s, w, r)}
		head, body, _ := bytes.Cut(s.Refuse(nil, refusal), []byte("\r\n\r\n"))
		_ = ex.Send(append(head, "\r\n"...), body)
		return
	}
	ex := &Exchange{Request: req, foreign: newForeign(s, w, r), Secure: r.TLS != nil, head: r.Method == http.MethodHead}
	if req.Length != 0 {
		ex.Body = &Body{foreign: ex.foreign, left: req.Length}
	}
	s.Handler(ex)
	if ex.foreign.stop != nil {
		ex.foreign.stop()
	}
	if !ex.ended || ex.broken {
		panic(http.ErrAbortHandler) // H2: the stream is reset
	}
}

func newForeign(s *Server, w http.ResponseWriter, r *http.Request) *foreign {
	f := &foreign{w: w, control: http.NewResponseController(w), r: r, bodyTimeout: s.BodyTimeout, writeTimeout: s.WriteTimeout}
	if at, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		f.remote = net.TCPAddrFromAddrPort(at)
	} else {
		f.remote = &net.UnixAddr{Net: "unix"}
	}
	return f
}

// fromHTTP reads a request of net/http as strictly as one that came here.
func fromHTTP(r *http.Request) (*Request, error) {
	var b bytes.Buffer
	b.WriteString(r.Method + " " + r.RequestURI + " HTTP/1.1\r\nHost: " + r.Host + "\r\n")
	for name, values := range r.Header {
		switch name {
		case "Host", "Connection", "Content-Length", "Transfer-Encoding", "Upgrade", "Expect", "Trailer":
			continue // net/http has dealt with them
		}
		for _, v := range values {
			b.WriteString(name + ": " + v + "\r\n")
		}
	}
	switch {
	case r.Body == nil || r.Body == http.NoBody:
	case r.ContentLength >= 0:
		b.WriteString("Content-Length: " + strconv.FormatInt(r.ContentLength, 10) + "\r\n")
	default:
		b.WriteString("Transfer-Encoding: chunked\r\n")
	}
	for name := range r.Trailer {
		b.WriteString("Trailer: " + name + "\r\n")
	}
	b.WriteString("\r\n")
	return NewRequest(b.Bytes())
}

// writeHead sends the head of a response, an interim one too. head is its status line
// and fields.
func (f *foreign) writeHead(head []byte, length int64) error {
	line, rest, _ := bytes.Cut(head, []byte("\r\n"))
	if len(line) < len("HTTP/1.1 200") {
		return errStarted
	}
	status, err := strconv.Atoi(string(line[9:12]))
	if err != nil {
		return err
	}
	h := f.w.Header()
	clear(h)
	for len(rest) > 0 {
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		name, value, _ := strings.Cut(string(line), ": ")
		switch name {
		case "Connection", "Keep-Alive", "Transfer-Encoding", "Trailer", "":
		default:
			h[http.CanonicalHeaderKey(name)] = append(h[http.CanonicalHeaderKey(name)], value)
		}
	}
	if status >= 200 {
		if length >= 0 {
			h["Content-Length"] = []string{strconv.FormatInt(length, 10)}
		}
		for _, name := range []string{"Content-Type", "Date"} { // net/http makes them up otherwise
			if len(h[name]) == 0 {
				h[name] = nil
			}
		}
	}
	f.w.WriteHeader(status)
	return nil
}

func (f *foreign) write(p []byte) error {
	if f.writeTimeout > 0 {
		_ = f.control.SetWriteDeadline(time.Now().Add(f.writeTimeout))
	}
	if _, err := f.w.Write(p); err != nil {
		return err
	}
	return nil
}

func (f *foreign) flush() error { return f.control.Flush() }

// end ends a response; trailer is lines with CRLF.
func (f *foreign) end(trailer []byte) {
	for len(trailer) > 0 {
		var line []byte
		line, trailer, _ = bytes.Cut(trailer, []byte("\r\n"))
		if name, value, ok := strings.Cut(string(line), ": "); ok {
			f.w.Header().Add(http.TrailerPrefix+name, value)
		}
	}
}

// sendForeign is Exchange.Send.
func (ex *Exchange) sendForeign(head, body []byte) error {
	ex.started, ex.ended = true, true
	ex.status = statusOf(head)
	if !ex.head {
		ex.sent = int64(len(body))
	}
	err := ex.foreign.writeHead(head, Unknown)
	if err == nil && !ex.head && len(body) > 0 {
		err = ex.foreign.write(body)
	}
	ex.broken = err != nil
	return err
}

func (ex *Exchange) startForeign(status int, head []byte, length int64) error {
	ex.started = true
	ex.left, ex.status = length, status
	ex.silent = status < 200 || status == http.StatusNoContent || status == http.StatusNotModified || ex.head
	if status == http.StatusNoContent {
		length = Unknown
	}
	err := ex.foreign.writeHead(head, length)
	if err == nil {
		err = ex.foreign.flush()
	}
	ex.broken = err != nil
	return err
}

func (ex *Exchange) writeForeign(p []byte) (int, error) {
	err := ex.foreign.write(p)
	if err == nil {
		err = ex.foreign.flush()
	}
	if err != nil {
		ex.broken = true
		return 0, err
	}
	return len(p), nil
}

// read reads a foreign body.
func (f *foreign) read(b *Body, p []byte) (int, error) {
	if f.bodyTimeout > 0 {
		_ = f.control.SetReadDeadline(time.Now().Add(f.bodyTimeout))
	}
	n, err := f.r.Body.Read(p)
	if err == io.EOF {
		for name, values := range f.r.Trailer {
			for _, v := range values {
				b.trailer = append(b.trailer, Field{Name: []byte(name), Value: []byte(v), ID: identify([]byte(name))})
			}
		}
	}
	return n, err
}

// watch calls gone when the client goes away.
func (f *foreign) watch(gone func()) { f.stop = context.AfterFunc(f.r.Context(), gone) }
