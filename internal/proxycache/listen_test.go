package proxycache

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"walpurge/dev/testbed"

	"walpurge/internal/downstream"
)

// protocols are the ways in which clients come.
var protocols = []string{"HTTP/1.1", "HTTP/1.1 over TLS", "HTTP/2 by prior knowledge", "HTTP/2 over TLS"}

// newProtocolRig is a rig whose client comes in one of these ways.
func newProtocolRig(t *testing.T, protocol string, change func(*rig, *Options)) *rig {
	t.Helper()
	secure := strings.HasSuffix(protocol, "TLS")
	r := newRig(t, func(r *rig, o *Options) {
		if secure {
			c, err := downstream.NewCertificate(writeCertificateFiles(t))
			if err != nil {
				t.Fatal(err)
			}
			o.Clients.TLS = c.Config()
		}
		change(r, o)
	})
	tr := &http.Transport{DisableCompression: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, Protocols: new(http.Protocols)} //nolint:gosec // its own certificate
	switch {
	case strings.HasPrefix(protocol, "HTTP/1"):
		tr.Protocols.SetHTTP1(true)
	case secure:
		tr.Protocols.SetHTTP2(true)
	default:
		tr.Protocols.SetUnencryptedHTTP2(true)
	}
	t.Cleanup(tr.CloseIdleConnections)
	r.client = &http.Client{Transport: tr, Timeout: 30 * time.Second}
	if secure {
		r.url = "https://" + r.proxy.Addr().String()
	}
	return r
}

func writeCertificateFiles(t testing.TB) (certFile, keyFile string, log *slog.Logger) {
	certFile, keyFile = testbed.WriteCertificate(t, t.TempDir(), "test")
	return certFile, keyFile, nil
}

func testProtocols(t *testing.T, test func(*testing.T, *rig, bool)) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			r := newProtocolRig(t, protocol, plainHTTP)
			test(t, r, strings.HasPrefix(protocol, "HTTP/2"))
		})
	}
}

func TestRFC9113Section3ProtocolsShareTheHandler(t *testing.T) {
	testProtocols(t, func(t *testing.T, r *rig, two bool) {
		var seen http.Header
		var target string
		r.answer(func(w http.ResponseWriter, req *http.Request) {
			seen, target = req.Header.Clone(), req.RequestURI
			w.Header().Set("Cache-Control", "max-age=60")
			w.Header().Set("Etag", `"1"`)
			w.Header()["Content-Type"] = nil
			_, _ = io.WriteString(w, "body")
		})
		got := r.get("/a%2fb?x=%41", "X-Foo: 1", "Cookie: a=1")
		if two != (got.ProtoMajor == 2) || got.body != "body" || got.StatusCode != 200 {
			t.Fatal(got.Proto, got.Status, got.body)
		}
		if target != "/a%2fb?x=%41" || seen.Get("X-Foo") != "1" || seen.Get("Cookie") != "a=1" {
			t.Error(target, seen)
		}
		via, scheme := "1.1 walpurge", "http"
		if two {
			via = "2 walpurge"
		}
		if strings.HasPrefix(r.url, "https") {
			scheme = "https"
		}
		if seen.Get("Via") != via || seen.Get("X-Forwarded-Proto") != scheme || !strings.HasSuffix(seen.Get("Forwarded"), ";proto="+scheme) || seen.Get("X-Forwarded-For") != "127.0.0.1" {
			t.Error(seen)
		}
		got = r.get("/a%2fb?x=%41")
		r.want(got, "body", "walpurge; hit; ttl=59")
		if got.Header.Get("Content-Type") != "" || got.Header.Get("Connection") != "" || got.Header.Get("Content-Length") != "4" {
			t.Error(got.Header)
		}
		if head := r.do("HEAD", "/a%2fb?x=%41", nil); head.StatusCode != 200 || head.body != "" || head.Header.Get("Content-Length") != "4" {
			t.Error(head.Status, head.Header)
		}
		if got := r.get("/a%2fb?x=%41", `If-None-Match: "1"`); got.StatusCode != 304 {
			t.Error(got.Status)
		}
		if got := r.get("/a%2fb?x=%41", "Range: bytes=1-2"); got.StatusCode != 206 || got.body != "od" {
			t.Error(got.Status, got.body)
		}
	})
}

func TestRFC9113Section8_1ProtocolsCarryBodiesAndTrailersBothWays(t *testing.T) {
	testProtocols(t, func(t *testing.T, r *rig, _ bool) {
		const size = 3 << 20
		r.answer(func(w http.ResponseWriter, req *http.Request) {
			n, err := io.Copy(io.Discard, req.Body)
			w.Header().Set("Trailer", "X-Sum")
			_, _ = fmt.Fprint(w, n, err, req.Trailer.Get("X-End"))
			for range 48 {
				_, _ = w.Write(make([]byte, 64<<10))
			}
			w.Header().Set("X-Sum", "42")
		})
		req, err := http.NewRequest(http.MethodPost, r.url+"/up", io.LimitReader(zeros{}, size))
		if err != nil {
			t.Fatal(err)
		}
		req.Trailer = http.Header{"X-End": {"end"}}
		resp, err := r.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		b, err := io.ReadAll(resp.Body)
		want := fmt.Sprint(int64(size), nil, "end")
		if err != nil || !strings.HasPrefix(string(b), want) || len(b) != len(want)+48*64<<10 {
			t.Fatalf("%d bytes, %.40q, %v", len(b), b, err)
		}
		if resp.Trailer.Get("X-Sum") != "42" {
			t.Error(resp.Trailer)
		}
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestRFC9113Section8_1ProtocolsStreamAndPassInterimResponses(t *testing.T) {
	testProtocols(t, func(t *testing.T, r *rig, _ bool) {
		g := newGate()
		r.answer(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", "</a.css>")
			w.WriteHeader(103)
			w.Header().Del("Link")
			_, _ = io.WriteString(w, "first")
			_ = http.NewResponseController(w).Flush()
			g.pass()
			_, _ = io.WriteString(w, "last")
		})
		hints := 0
		ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			if code == 103 && h.Get("Link") != "" {
				hints++
			}
			return nil
		}})
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+"/a", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := r.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		first := make([]byte, 5)
		if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "first" {
			t.Fatal(string(first), err)
		}
		close(g.open)
		rest, err := io.ReadAll(resp.Body)
		if err != nil || string(rest) != "last" || hints != 1 || resp.Header.Get("Link") != "" {
			t.Fatal(string(rest), err, hints, resp.Header)
		}
	})
}

func TestProtocolsShowThatTheEndIsMissing(t *testing.T) {
	testProtocols(t, func(t *testing.T, r *rig, _ bool) {
		r.answer(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "some")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		})
		resp, err := r.client.Get(r.url + "/a")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		if b, err := io.ReadAll(resp.Body); err == nil {
			t.Fatalf("%q came as if it were whole", b)
		}
		// Other requests of the connection go on.
		r.say("whole")
		if got := r.get("/b"); got.body != "whole" {
			t.Fatal(got.body)
		}
	})
}

func TestProtocolsNoticeAClientThatLeaves(t *testing.T) {
	testProtocols(t, func(t *testing.T, r *rig, _ bool) {
		left := make(chan struct{})
		arrived := make(chan struct{})
		r.answer(func(_ http.ResponseWriter, req *http.Request) {
			_, _ = io.Copy(io.Discard, req.Body)
			close(arrived)
			<-req.Context().Done()
			close(left)
		})
		ctx, cancel := context.WithCancel(context.Background())
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url+"/a", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		failed := make(chan error, 1)
		go func() {
			_, err := r.client.Do(req) //nolint:bodyclose // there is none
			failed <- err
		}()
		<-arrived
		cancel()
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		select {
		case <-left:
		case <-time.After(30 * time.Second):
			t.Error("the origin still works for nobody")
		}
	})
}

func TestRFC9113Section8RefusesWhatHTTP1Refuses(t *testing.T) {
	r := newProtocolRig(t, "HTTP/2 by prior knowledge", plainHTTP)
	req, err := http.NewRequest("CONNECT", r.url+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 501 {
		t.Error(resp.Status)
	}
	many := make([]string, 300)
	for i := range many {
		many[i] = fmt.Sprintf("X-%d: 1", i)
	}
	if got := r.get("/a", many...); got.StatusCode != 431 || r.asked() != 0 {
		t.Error(got.Status, r.asked())
	}
}

func TestRFC9113Section3_4PrefaceAfterTheFirstRequestIsRefused(t *testing.T) {
	r := newRig(t, plainHTTP)
	c := r.dial()
	c.send("GET /a HTTP/1.1\r\nHost: h\r\n\r\n")
	c.read("GET")
	c.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	if got := c.read("GET"); got.StatusCode != 505 {
		t.Fatal(got.Status)
	}
	c.closed()
}

func TestRFC9111Section2SchemesAreKeptApart(t *testing.T) {
	r := newProtocolRig(t, "HTTP/1.1 over TLS", plainHTTP)
	r.say("body", "Cache-Control: max-age=60")
	r.get("/a")
	key := "https://" + r.proxy.Addr().String() + "/a"
	if r.proxy.memory.Peek(key) == nil {
		t.Error("nothing is stored as", key)
	}
	r.do("POST", "/a", nil)
	if r.proxy.memory.Peek(key) != nil {
		t.Error("an unsafe request ends nothing")
	}
}

func TestRFC9112Section9_3_2PipelinedRequestsOverTLS(t *testing.T) {
	r := newProtocolRig(t, "HTTP/1.1 over TLS", plainHTTP)
	r.say(strings.Repeat("x", 100<<10), "Cache-Control: max-age=60")
	c, err := tls.Dial("tcp", r.proxy.Addr().String(), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // its own certificate
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, strings.Repeat("GET /a HTTP/1.1\r\nHost: h\r\n\r\n", 5))
	br := bufio.NewReader(c)
	for range 5 {
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(resp.Body); err != nil || len(b) != 100<<10 {
			t.Fatal(len(b), err)
		}
	}
}

func TestHandshakesThatStallHoldUpNobody(t *testing.T) {
	r := newProtocolRig(t, "HTTP/2 over TLS", plainHTTP)
	for range 20 {
		c, err := net.Dial("tcp", r.proxy.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
	}
	if got := r.get("/a"); got.body != "ok" {
		t.Fatal(got.Status)
	}
}
