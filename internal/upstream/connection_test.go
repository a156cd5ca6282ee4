package upstream

import (
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
)

// However the bytes come, net/http reads the same as without us, but for the
// field that we add.
func TestNamingChangesNothingElse(t *testing.T) {
	for i, sent := range []string{
		"HTTP/1.1 200 OK\r\nConnection: close, a\r\nContent-Length: 4\r\n\r\nbody",
		"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody",
		"HTTP/1.1 200 OK\nContent-Length: 4\n\nbody",
		"HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nConnection: a, close\r\n\r\nbody",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: close\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nHalf",
		"",
	} {
		for name, slow := range map[string]func(io.Reader) io.Reader{"whole": func(r io.Reader) io.Reader { return r }, "bytes": iotest.OneByteReader, "halves": iotest.HalfReader} {
			c := &namingConn{Conn: readerConn{Reader: slow(strings.NewReader(sent))}}
			_, _ = c.Write([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
			got, err := io.ReadAll(c)
			want := sent
			if strings.Contains(sent, ", a\r\n") || strings.Contains(sent, "a, close") {
				at := strings.LastIndex(sent, "200 OK\r\n") + len("200 OK\r\n")
				want = sent[:at] + NamedField + ": A\r\n" + sent[at:]
			}
			if err != nil || string(got) != want {
				t.Errorf("%d, %s: %q, %v", i, name, got, err)
			}
		}
	}
}

type readerConn struct {
	net.Conn
	io.Reader
}

func (c readerConn) Read(p []byte) (int, error)  { return c.Reader.Read(p) }
func (c readerConn) Write(p []byte) (int, error) { return len(p), nil }
