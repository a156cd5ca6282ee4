package http1

import (
	"bufio"
	"bytes"
	"net/http"
	"testing"
)

func TestRequestOutlivesItsBuffer(t *testing.T) {
	b := []byte("GET /path?q HTTP/1.1\r\nHost: shop\r\nX-A: b\r\n\r\n")
	var r Request
	if err := r.parse(b); err != nil {
		t.Fatal(err)
	}
	c := r.Clone()
	clear(b)
	if string(c.Method) != "GET" || string(c.Target) != "/path?q" || string(c.Host) != "shop" || string(c.Values("x-a")[0]) != "b" || string(c.Get(Host)) != "shop" {
		t.Fatalf("%+v", c)
	}
}

// FuzzHead: whatever is accepted here is read the same by net/http, which
// stands for the server behind: same method, target, host and body length.
func FuzzHead(f *testing.F) {
	f.Add([]byte("GET /a?b HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n"))
	f.Add([]byte("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"))
	f.Add([]byte("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"))
	f.Add([]byte("GET http://b/ HTTP/1.0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := NewRequest(b)
		if err != nil {
			return
		}
		theirs, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b)))
		if err != nil {
			return // stricter than we are: the request is refused there
		}
		if theirs.Method != string(r.Method) || len(theirs.Header) > len(r.Fields) {
			t.Fatalf("%q: %s and %s", b, theirs.Method, r.Method)
		}
		if string(r.Host) != theirs.Host {
			t.Fatalf("%q: host %q and %q", b, r.Host, theirs.Host)
		}
		if theirs.ContentLength != r.Length {
			t.Fatalf("%q: length %d and %d", b, theirs.ContentLength, r.Length)
		}
		c := r.Clone()
		if !bytes.Equal(c.Target, r.Target) || len(c.Fields) != len(r.Fields) {
			t.Fatalf("%q", b)
		}
	})
}
