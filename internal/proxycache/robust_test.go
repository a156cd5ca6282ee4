package proxycache

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"walpurge/dev/testbed"
)

// heap is what is in use after a collection.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// Every client takes a byte at a time of a response that no socket buffer
// holds. They cost their connections and nothing else, and others are served.
func TestAThousandSlowClients(t *testing.T) {
	const clients = 1000
	r := newRig(t, func(r *rig, o *Options) { plainHTTP(r, o); o.MaxObject = 16 << 20 })
	body := strings.Repeat("0123456789abcdef", 8<<20/16)
	r.say(body, "Cache-Control: max-age=600")
	r.get("/slow")
	r.say("small", "Cache-Control: max-age=600")
	r.get("/fast")
	before := heap()
	request := []byte("GET /slow HTTP/1.1\r\nHost: " + r.proxy.Addr().String() + "\r\n\r\n")
	conns := make([]net.Conn, clients)
	for i := range conns {
		c, err := net.Dial("tcp", r.proxy.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
		if _, err := c.Write(request); err != nil {
			t.Fatal(err)
		}
		conns[i] = c
	}
	one := make([]byte, 1)
	for round := range 3 {
		for _, c := range conns {
			_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
			if _, err := c.Read(one); err != nil {
				t.Fatal(err)
			}
			if want := "HTT"[round]; one[0] != want {
				t.Fatalf("byte %d is %q", round, one)
			}
		}
		r.want(r.get("/fast"), "small", "walpurge; hit")
	}
	used := int64(heap()) - int64(before)
	if per := used / clients; per > 64<<10 {
		t.Errorf("%d KiB for each slow client", per>>10)
	}
	testbed.Measured(t, "%d clients that read a byte at a time of 8 MiB: %d KiB of memory each with the client's side", clients, max(0, used)/clients>>10)
	if got := r.get("/slow"); got.body != body {
		t.Error("another reader got", len(got.body), "bytes")
	}
}

// scripted is an origin that sends bytes as they are. What answers a path is
// looked up by it; the connection ends after each.
func scripted(t *testing.T, answers map[string]string) *url.URL {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() {
		_ = ln.Close()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer func() { _ = c.Close() }()
				_ = c.SetDeadline(time.Now().Add(30 * time.Second))
				var head []byte
				for buf := make([]byte, 4096); !bytes.Contains(head, []byte("\r\n\r\n")); {
					n, err := c.Read(buf)
					if err != nil {
						return
					}
					head = append(head, buf[:n]...)
				}
				_, path, _ := strings.Cut(string(head), " ")
				path, _, _ = strings.Cut(path, " ")
				_, _ = io.WriteString(c, answers[path])
			})
		}
	})
	return &url.URL{Scheme: "http", Host: ln.Addr().String()}
}

// Whatever an origin sends or leaves out, the client sees that something is
// missing, nothing of it is kept, and the response beside it is whole.
func TestOriginsThatSendTooLittleOrTooMuch(t *testing.T) {
	const fresh = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n"
	good := fresh + "Content-Length: 4\r\n\r\ngood"
	cases := map[string]struct {
		sends string
		whole string // the body of a whole response; empty: there is none
	}{
		"/nothing":         {"", ""},
		"/half-a-line":     {"HTTP/1.1 20", ""},
		"/half-a-head":     {fresh + "X-Foo: ", ""},
		"/no-http":         {"SSH-2.0-x\r\n\r\n", ""},
		"/short":           {fresh + "Content-Length: 10\r\n\r\nhalf", ""},
		"/no-last-chunk":   {fresh + "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", ""},
		"/half-a-chunk":    {fresh + "Transfer-Encoding: chunked\r\n\r\n9\r\nhalf", ""},
		"/bad-chunk":       {fresh + "Transfer-Encoding: chunked\r\n\r\nxyz\r\nhalf\r\n0\r\n\r\n", ""},
		"/two-lengths":     {fresh + "Content-Length: 4\r\nContent-Length: 5\r\n\r\nhalf1", ""},
		"/bad-length":      {fresh + "Content-Length: 4x\r\n\r\nhalf", ""},
		"/unknown-coding":  {fresh + "Transfer-Encoding: rot13\r\n\r\nhalf", ""},
		"/too-long":        {fresh + "Content-Length: 4\r\n\r\nfourHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", "four"},
		"/after-last":      {fresh + "Transfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", "four"},
		"/until-it-closes": {fresh + "\r\nfour", "four"},
		"/interim-only":    {"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", ""},
	}
	answers := map[string]string{"/good": good}
	for path, c := range cases {
		answers[path] = c.sends
	}
	origin := scripted(t, answers)
	r := newRig(t, func(r *rig, o *Options) { plainHTTP(r, o); o.Origin.URL = origin })
	for path, c := range cases {
		t.Run(path[1:], func(t *testing.T) {
			r.t = t
			for range 2 {
				var wg sync.WaitGroup
				for i := range 3 {
					wg.Go(func() {
						if i > 0 { // beside it
							if got, err := r.try("GET", fmt.Sprint("/good?", path, i), nil); err != nil || got.StatusCode == 200 && got.body != "good" {
								t.Errorf("%v %q", err, got.body)
							}
							return
						}
						got, err := r.try("GET", path, nil)
						switch {
						case c.whole != "":
							if err != nil || got.StatusCode != 200 || got.body != c.whole {
								t.Errorf("%v %q", err, got.body)
							}
						case err == nil && got.StatusCode < 500:
							t.Errorf("%s %q came as if it were whole", got.Status, got.body)
						}
					})
				}
				wg.Wait()
			}
			if got, err := r.try("GET", path, nil, "Cache-Control: only-if-cached"); err != nil || (got.StatusCode == 200) != (c.whole != "") {
				t.Errorf("stored: %v, %v", got.Status, err)
			}
		})
	}
}
