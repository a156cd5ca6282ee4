package http1

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
	"testing"
)

func TestHeadIsFoundInPieces(t *testing.T) {
	const head = "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nrest"
	var scan headScan
	from := 0
	for to := 1; to <= len(head); to++ {
		n, skip, err := scan.find([]byte(head[from:to]))
		if err != nil {
			t.Fatal(err)
		}
		from += skip
		if n > 0 {
			if got := head[from : from+n]; got != head[2:len(head)-4] {
				t.Fatalf("%q", got)
			}
			return
		}
	}
	t.Fatal("not found")
}

func TestKnownFieldsAreKnownInAnyCase(t *testing.T) {
	for id := Host; id <= XForwardedProto; id++ {
		for _, name := range []string{id.String(), strings.ToUpper(id.String())} {
			if got := identify([]byte(name)); got != id {
				t.Errorf("%s is %d, want %d", name, got, id)
			}
		}
		if got := identify([]byte(strings.Repeat("z", len(id.String())))); got != Other {
			t.Errorf("%d for a name of %d bytes", got, len(id.String()))
		}
	}
}

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
