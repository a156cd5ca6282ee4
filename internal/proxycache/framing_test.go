package proxycache

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// refusal is a request that must be refused, and the status that says so.
type refusal struct {
	name, request string
	status        int
}

// testRefused: requests on whose end or meaning two servers may differ are
// refused, and the connection with whatever follows is closed (H1).
func testRefused(t *testing.T, cases []refusal) {
	t.Helper()
	r := newRig(t, nil)
	const smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			conn := r.dial()
			conn.send(c.request + smuggled)
			got := conn.read("POST")
			if got.StatusCode != c.status {
				t.Errorf("%s, want %d", got.Status, c.status)
			}
			if got.Header.Get("Content-Type") != "application/problem+json" || got.cacheStatus() == "" {
				t.Errorf("header %v", got.Header)
			}
			conn.closed()
		})
	}
	if r.asked() != 0 {
		t.Fatalf("reached the origin: %v", r.requests)
	}
}

func TestRFC9112Section2_2RefusedLineEnds(t *testing.T) {
	testRefused(t, []refusal{
		{"space before first name", "GET /x HTTP/1.1\r\n Host: a\r\n\r\n", 400},
		{"bare LF in head", "GET /x HTTP/1.1\nHost: a\r\n\r\n", 400},
		{"bare LF at end", "GET /x HTTP/1.1\r\nHost: a\r\n\n", 400},
		{"bare CR in the request line", "GET /x\r HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"CR CR LF", "GET /x HTTP/1.1\r\r\nHost: a\r\n\r\n", 400},
		{"many empty lines", strings.Repeat("\r\n", 9) + "GET /x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"garbage", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400},
	})
}

func TestRFC9112Section3RefusedRequestLines(t *testing.T) {
	testRefused(t, []refusal{
		{"two spaces", "GET  /x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"space in target", "GET /x y HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"tab in target", "GET /x\ty HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"no version", "GET /x\r\nHost: a\r\n\r\n", 400},
		{"later version", "GET /x HTTP/3.0\r\nHost: a\r\n\r\n", 505},
		{"odd version", "GET /x HTTP/1.1x\r\nHost: a\r\n\r\n", 400},
	})
}

func TestRFC9112Section3_2RefusedTargetsAndHosts(t *testing.T) {
	testRefused(t, []refusal{
		{"no host", "GET /x HTTP/1.1\r\n\r\n", 400},
		{"two hosts", "GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
		{"host with a path", "GET /x HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
		{"host with a user", "GET /x HTTP/1.1\r\nHost: u@a\r\n\r\n", 400},
		{"encoded host", "GET /x HTTP/1.1\r\nHost: %61\r\n\r\n", 400},
		{"absolute target, encoded host", "GET http://%61/x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"host with two ports", "GET /x HTTP/1.1\r\nHost: a:80:81\r\n\r\n", 400},
		{"host with a word for a port", "GET /x HTTP/1.1\r\nHost: a:http\r\n\r\n", 400},
		{"host with an open bracket", "GET /x HTTP/1.1\r\nHost: [::1\r\n\r\n", 400},
		{"host with a bracket inside", "GET /x HTTP/1.1\r\nHost: a[::1]\r\n\r\n", 400},
		{"host behind a bracket", "GET /x HTTP/1.1\r\nHost: [::1]a\r\n\r\n", 400},
		{"empty brackets", "GET /x HTTP/1.1\r\nHost: []:80\r\n\r\n", 400},
		{"list of hosts", "GET /x HTTP/1.1\r\nHost: a, b\r\n\r\n", 400},
		{"absolute form with a user", "GET http://u@a/x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"absolute form without a host", "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"absolute form beside a bad host", "GET http://a/x HTTP/1.1\r\nHost: b/c\r\n\r\n", 400},
		{"absolute form without Host", "GET http://a/x HTTP/1.1\r\n\r\n", 400},
		{"absolute form of another scheme", "GET ftp://a/x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"authority form of GET", "GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"relative target", "GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"asterisk of GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	})
}

func TestRFC9112Section5RefusedFields(t *testing.T) {
	testRefused(t, []refusal{
		{"space before colon", "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400},
		{"tab before colon", "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", 400},
		{"space before name", "GET /x HTTP/1.1\r\nHost: a\r\n Transfer-Encoding: chunked\r\n\r\n", 400},
		{"folded field", "GET /x HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400},
		{"bare CR in value", "GET /x HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400},
		{"NUL in value", "GET /x HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", 400},
		{"NUL in name", "GET /x HTTP/1.1\r\nHost: a\r\nX\x00: b\r\n\r\n", 400},
		{"no colon", "GET /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\r\n\r\n", 400},
		{"empty name", "GET /x HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400},
		{"bare CR in a name", "GET /x HTTP/1.1\r\nHost: a\r\nX\r: b\r\n\r\n", 400},
	})
}

func TestRFC9112Section6RefusedLengths(t *testing.T) {
	testRefused(t, []refusal{
		{"CL.TE", "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG", 400},
		{"TE.CL", "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n8\r\nSMUGGLED\r\n0\r\n\r\n", 400},
		{"two lengths", "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400},
		{"two equal lengths", "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400},
		{"list of lengths", "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc", 400},
		{"signed length", "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc", 400},
		{"negative length", "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\nabc", 400},
		{"huge length", "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\nabc", 400},
		{"hidden coding", "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501},
		{"two codings", "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400},
		{"repeated coding", "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		{"identity", "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", 400},
		{"coding in 1.0", "POST /x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		{"empty length", "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400},
		{"length in hex", "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc", 400},
		{"length with a space inside", "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1 3\r\n\r\nabc", 400},
		{"empty coding", "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n", 400},
		{"coding with an empty element", "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked,\r\n\r\n0\r\n\r\n", 400},
		{"quoted coding", "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 400},
		{"coding with a parameter", "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n", 400},
		{"coding behind a vertical tab", "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400},
		{"coding and length of a GET", "GET /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n", 400},
	})
}

func TestRFC9110Section10_1_1UnknownExpectationsAreRefused(t *testing.T) {
	testRefused(t, []refusal{
		{"expectation", "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: tea\r\n\r\n", 417},
		{"two expectations", "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\nExpect: tea\r\n\r\n", 417},
	})
}

// Chunked bodies are read by the letter; what is broken breaks the request to
// the origin too and is never followed by another.
func TestRFC9112Section7_1BrokenChunksEndTheConnection(t *testing.T) {
	r := newRig(t, nil)
	r.answer(func(w http.ResponseWriter, req *http.Request) {
		if _, err := io.ReadAll(req.Body); err != nil {
			return
		}
		_, _ = io.WriteString(w, "read")
	})
	for _, body := range []string{
		"x\r\n", "-1\r\n\r\n", "0x3\r\nabc\r\n0\r\n\r\n", "3 \r\nabc\r\n0\r\n\r\n", " 3\r\nabc\r\n0\r\n\r\n", "3\nabc\n0\n\n", "33\nabc\r\n0\r\n\r\n",
		"3\r\nabcd\r\n0\r\n\r\n", "3\r\nabc0\r\n\r\n", "3;a\x01b\r\nabc\r\n0\r\n\r\n", "fffffffffffffffff\r\nabc", "0\r\nbad field\r\n\r\n", "0\r\nX : y\r\n\r\n", "\r\n\r\n",
	} {
		t.Run(fmt.Sprintf("%q", body), func(t *testing.T) {
			conn := r.dial()
			conn.send("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body + "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
			if resp, err := http.ReadResponse(conn.r, nil); err == nil {
				if b, err := io.ReadAll(resp.Body); err != nil || string(b) == "read" {
					t.Errorf("%s %q %v", resp.Status, b, err)
				}
			}
			conn.closed()
		})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, req := range r.requests {
		if strings.Contains(req, "smuggled") {
			t.Fatal(req)
		}
	}
}

func TestRFC9112Section3HeadAboveLimitIs431(t *testing.T) {
	r := newRig(t, nil)
	for name, head := range map[string]string{
		"one field":   "GET /x HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("y", 100<<10) + "\r\n\r\n",
		"many fields": "GET /x HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: y\r\n", 300) + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			c := r.dial()
			c.send(head)
			if got := c.read("GET"); got.StatusCode != 431 {
				t.Error(got.Status)
			}
			c.closed()
		})
	}
	c := r.dial()
	c.send("GET /" + strings.Repeat("y", 100<<10))
	if got := c.read("GET"); got.StatusCode != 414 {
		t.Error(got.Status)
	}
	big := strings.Repeat("y", 50<<10)
	r.answer(func(w http.ResponseWriter, req *http.Request) { _, _ = fmt.Fprint(w, len(req.Header.Get("X"))) })
	if got := r.get("/x", "X: "+big); got.body != fmt.Sprint(len(big)) {
		t.Error(got.Status, got.body)
	}
}

func TestSlowHeadIs408(t *testing.T) {
	r := newRig(t, func(_ *rig, o *Options) { o.Clients.HeaderTimeout = 40 * time.Millisecond })
	c := r.dial()
	c.send("GET /x HTTP/1.1\r\nHo")
	if got := c.read("GET"); got.StatusCode != 408 {
		t.Fatal(got.Status)
	}
	c.closed()
}

func TestIdleConnectionIsClosedWithoutAWord(t *testing.T) {
	r := newRig(t, func(_ *rig, o *Options) { o.Clients.IdleTimeout = 40 * time.Millisecond })
	c := r.dial()
	c.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
	c.read("GET")
	c.closed()
}

func TestRFC9112Section9_3_2PipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	r := newRig(t, nil)
	r.answer(func(w http.ResponseWriter, req *http.Request) { _, _ = io.WriteString(w, req.URL.Path) })
	r.get("/api/listings/1")
	c := r.dial()
	var all strings.Builder
	paths := []string{"/api/listings/1", "/other/2", "/api/listings/1", "/api/listings/3", "/api/listings/1"}
	for _, p := range paths {
		fmt.Fprintf(&all, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", p, strings.TrimPrefix(r.url, "http://"))
	}
	c.send(all.String())
	for _, p := range paths {
		if got := c.read("GET"); got.body != p {
			t.Fatalf("%q, want %q", got.body, p)
		}
	}
}

func TestRFC9112Section9_3_2PipelinedRequestBehindBodyIsServed(t *testing.T) {
	r := newRig(t, nil)
	r.answer(func(w http.ResponseWriter, req *http.Request) {
		b, _ := io.ReadAll(req.Body)
		_, _ = fmt.Fprintf(w, "%s %s", req.Method, b)
	})
	c := r.dial()
	c.send("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" +
		"PUT /b HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nxy" + "GET /c HTTP/1.1\r\nHost: a\r\n\r\n")
	for _, want := range []string{"POST abc", "PUT xy", "GET "} {
		if got := c.read("GET"); got.body != want {
			t.Fatalf("%q, want %q", got.body, want)
		}
	}
}

func TestRFC9112Section9_3HTTP10(t *testing.T) {
	r := newRig(t, nil)
	r.answer(func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush() // no Content-Length
		_, _ = io.WriteString(w, "body")
	})
	for range 2 { // a miss and a hit
		c := r.dial()
		c.send("GET /api/listings/1 HTTP/1.0\r\n\r\n")
		got := c.read("GET")
		if got.body != "body" || len(got.TransferEncoding) > 0 {
			t.Fatalf("%q %v", got.body, got.TransferEncoding)
		}
		c.closed()
	}
	c := r.dial()
	for range 2 {
		c.send("GET /api/listings/1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
		if got := c.read("GET"); got.body != "body" || got.Header.Get("Connection") != "keep-alive" {
			t.Fatalf("%q %v", got.body, got.Header)
		}
	}
}

func TestRFC9112Section3_2_2AbsoluteFormNamesTheHost(t *testing.T) {
	r := newRig(t, nil)
	r.answer(func(w http.ResponseWriter, req *http.Request) {
		_, _ = fmt.Fprintf(w, "%s %s", req.Host, req.RequestURI)
	})
	c := r.dial()
	c.send("GET http://shop.example/a?b HTTP/1.1\r\nHost: other\r\n\r\n")
	if got := c.read("GET"); got.body != "shop.example /a?b" {
		t.Fatal(got.body)
	}
	c.send("OPTIONS * HTTP/1.1\r\nHost: shop.example\r\n\r\n")
	if got := c.read("OPTIONS"); got.StatusCode >= 500 {
		t.Fatal(got.Status)
	}
	c.send("CONNECT db.internal:5432 HTTP/1.1\r\nHost: db.internal:5432\r\n\r\n")
	if got := c.read("GET"); got.StatusCode != 501 {
		t.Fatal(got.Status)
	}
}

func TestRFC9112Section3_2RequestTargetReachesOriginUnchanged(t *testing.T) {
	r := newRig(t, nil)
	r.answer(func(w http.ResponseWriter, req *http.Request) { _, _ = io.WriteString(w, req.RequestURI) })
	for _, target := range []string{
		"/a%2Fb/../c", "//double//slash?x=//y", "/p?", "/p?a=1&&b=%zz;c", "/%E2%82%AC/\xe2\x82\xac", "/a;b=c/d,e", "/~x/'(y)*", "/q?u=http://a/b#not-sent",
	} {
		c := r.dial()
		c.send("GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n")
		if got := c.read("GET"); got.body != target {
			t.Errorf("%q arrived as %q (%s)", target, got.body, got.Status)
		}
	}
}

// crowdEnv makes the test binary a client that only holds connections open: a
// process of its own, since both ends of 10,000 connections are too many
// descriptors for one.
const crowdEnv = "PROXYCACHE_TEST_CROWD"

const crowdSize = 10000

// crowd opens connections to addr until its input ends.
func crowd(addr string) error {
	for i := range crowdSize {
		// One address has too few ports for all.
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i/4000))}}
		c, err := d.Dial("tcp", addr)
		if err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
		defer func() { _ = c.Close() }()
	}
	fmt.Println("open")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

func TestTenThousandIdleConnections(t *testing.T) {
	r := newRig(t, nil)
	r.get("/api/listings/1")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crowdEnv+"="+r.proxy.Addr().String())
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}()
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "open\n" {
		t.Fatal(line, err)
	}
	r.eventually("all are accepted", func() bool { return r.proxy.clients.Connections() >= crowdSize })
	r.want(r.get("/api/listings/1"), "ok", "walpurge; hit")
	r.want(r.get("/api/listings/2"), "ok", "walpurge; fwd=uri-miss")
}
