package http1

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/http/httputil"
	"strings"
	"testing"
)

// chunkedBody is a body that comes as those bytes.
func chunkedBody(b []byte) *Body {
	c := &conn{server: &Server{}}
	c.body.conn, c.body.chunked = c, true
	c.body.br = bufio.NewReader(bytes.NewReader(b))
	return &c.body
}

// FuzzChunked: whatever chunked body is accepted here is read the same by
// net/http, which stands for the server behind, to the same byte: what follows
// is the next request to both.
func FuzzChunked(f *testing.F) {
	for _, s := range []string{
		"3\r\nabc\r\n0\r\n\r\n", "a;x=\"y\"\r\n0123456789\r\n1;\r\nz\r\n000\r\nX-Sum: 1\r\n\r\nGET / HTTP/1.1\r\n", "0\r\n\r\n", "fffffffffffffff\r\n", "1\nz\n0\n\n", "2 \r\nab\r\n0\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	// Line by line it fits into a buffer of 4 KiB, with the empty line after it it doesn't.
	f.Add([]byte("0\r\nX-Sum: " + strings.Repeat("1", 4087) + "\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		body := chunkedBody(b)
		mine, err := io.ReadAll(body)
		if err != nil {
			return
		}
		rest, _ := io.ReadAll(body.br)
		theirs := bufio.NewReader(bytes.NewReader(b))
		got, err := io.ReadAll(httputil.NewChunkedReader(theirs))
		if err != nil {
			return // stricter than we are: the request is refused there
		}
		if !bytes.Equal(mine, got) {
			t.Fatalf("%q: %q and %q", b, mine, got)
		}
		// It refuses a trailer section that its buffer doesn't hold, so the buffer holds what is accepted here.
		head := strings.NewReader("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
		req, err := http.ReadRequest(bufio.NewReaderSize(io.MultiReader(head, bytes.NewReader(b[:len(b)-len(rest)])), 2*maxTrailer))
		if err != nil {
			t.Fatal(err)
		}
		if whole, err := io.ReadAll(req.Body); err != nil || !bytes.Equal(whole, mine) {
			t.Fatalf("%q: without what follows it is %q, %v", b[:len(b)-len(rest)], whole, err)
		}
		for _, field := range body.Trailer() {
			if !IsToken(field.Name) || bytes.ContainsAny(field.Value, "\r\n\x00") {
				t.Fatalf("%q: trailer %q: %q", b, field.Name, field.Value)
			}
		}
	})
}
