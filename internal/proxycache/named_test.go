package proxycache

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"walpurge/internal/upstream"
)

func TestRFC9111Section3_1FieldsNamedBesideClose(t *testing.T) {
	const rest = "Cache-Control: max-age=60\r\nX-Hop: 1\r\nX-Kept: 1\r\nContent-Length: 4\r\n\r\nbody"
	const interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
	answers := map[string]string{
		"/close-first": "HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\n" + rest,
		"/close-last":  "HTTP/1.1 200 OK\r\nconnection: x-hop,CLOSE\r\n" + rest,
		"/two-lines":   "HTTP/1.1 200 OK\r\nConnection: x-hop\r\nConnection: close\r\n" + rest,
		"/interim":     interim + "HTTP/1.1 200 OK\r\nConnection: close, x-hop\r\n" + rest,
		"/large":       "HTTP/1.1 200 OK\r\nX-Pad: " + strings.Repeat("x", 40<<10) + "\r\nConnection: close, x-hop\r\n" + rest,
		"/alone":       "HTTP/1.1 200 OK\r\nConnection: close\r\n" + rest,
	}
	r := newRig(t, func(r *rig, o *Options) { plainHTTP(r, o); o.Origin.URL = scripted(t, answers) })
	for path := range answers {
		for range 2 {
			got := r.get(path)
			hop := ""
			if path == "/alone" {
				hop = "1"
			}
			if got.body != "body" || got.Header.Get("X-Hop") != hop || got.Header.Get("X-Kept") != "1" || got.Header.Get(upstream.NamedField) != "" {
				t.Errorf("%s: %q %v", path, got.body, got.Header)
			}
		}
	}
}

func TestRFC9110Section9_2_2NothingUnsafeIsSentTwice(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	var posts atomic.Int32
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				_ = c.SetDeadline(time.Now().Add(30 * time.Second))
				for br := bufio.NewReader(c); ; {
					req, err := http.ReadRequest(br)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, req.Body)
					if req.Method != http.MethodGet {
						posts.Add(1)
						return // the connection ends without an answer
					}
					_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				}
			}()
		}
	}()
	r := newRig(t, func(r *rig, o *Options) {
		plainHTTP(r, o)
		o.Origin.URL, _ = url.Parse("http://" + ln.Addr().String())
	})
	for i, method := range []string{"POST", "PATCH", "DELETE", "PUT"} {
		r.get("/warm") // so that a connection is there to be used again
		if got := r.do(method, fmt.Sprint("/", i), strings.NewReader("x")); got.StatusCode != 502 {
			t.Error(method, got.Status)
		}
		if n := posts.Load(); int(n) != i+1 {
			t.Fatalf("%s was sent %d times", method, int(n)-i)
		}
	}
}
