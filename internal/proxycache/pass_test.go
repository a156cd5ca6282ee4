package proxycache

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/textproto"
	"runtime"
	runtimemetrics "runtime/metrics"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"walpurge/dev/testbed"
)

// An event arrives before the next is produced.
func TestServerSentEventsArriveOneByOne(t *testing.T) {
	r := newRig(t, nil)
	produce := make(chan string)
	r.answer(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		for e := range produce {
			_, _ = io.WriteString(w, e)
			w.(http.Flusher).Flush()
		}
	})
	resp, err := r.client.Get(r.url + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	br := bufio.NewReader(resp.Body)
	for i := range 5 {
		want := fmt.Sprintf("data: %d\n", i)
		produce <- want
		if got, err := br.ReadString('\n'); got != want || err != nil {
			t.Fatal(got, err)
		}
	}
	close(produce)
}

func TestUploadIsNotBuffered(t *testing.T) {
	r := newRig(t, nil)
	r.answer(func(w http.ResponseWriter, req *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		w.(http.Flusher).Flush()
		var b [1]byte
		for {
			if _, err := io.ReadFull(req.Body, b[:]); err != nil {
				return
			}
			_, _ = w.Write(b[:])
			w.(http.Flusher).Flush()
		}
	})
	up, feed := io.Pipe()
	req, _ := http.NewRequest("POST", r.url+"/echo", up)
	resp, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	for _, c := range "walpurge" {
		if _, err := feed.Write([]byte{byte(c)}); err != nil {
			t.Fatal(err)
		}
		var b [1]byte
		if _, err := io.ReadFull(resp.Body, b[:]); err != nil || b[0] != byte(c) {
			t.Fatal(b, err)
		}
	}
	_ = feed.Close()
	if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) != 0 {
		t.Fatal(rest, err)
	}
}

// endless reads n bytes that nobody keeps.
type endless struct{ left int64 }

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), e.left)
	for i := range p[:n] {
		p[i] = byte(e.left)
	}
	e.left -= n
	return int(n), nil
}

func TestLargeBodiesPassInFlatMemory(t *testing.T) {
	size := int64(2 << 30)
	if raceEnabled {
		size = 256 << 20
	}
	began := time.Now()
	r := newRig(t, nil)
	r.answer(func(w http.ResponseWriter, req *http.Request) {
		n, err := io.Copy(io.Discard, req.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("X-Got", fmt.Sprint(n))
		_, _ = io.Copy(w, &endless{size})
	})
	// What is in use, found by each collection: garbage is none of it, nor what other tests have left in this process.
	inUse := func() int64 {
		live := []runtimemetrics.Sample{{Name: "/gc/heap/live:bytes"}}
		runtimemetrics.Read(live)
		return int64(live[0].Value.Uint64())
	}
	runtime.GC()
	before := inUse()
	var peak atomic.Int64
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			peak.Store(max(peak.Load(), inUse()))
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	}()
	req, _ := http.NewRequest("POST", r.url+"/big", &endless{size})
	req.ContentLength = size
	resp, err := (&http.Client{Transport: r.client.Transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	close(stop)
	<-done
	if err != nil || n != size || resp.Header.Get("X-Got") != fmt.Sprint(size) {
		t.Fatal(n, resp.Header.Get("X-Got"), err)
	}
	runtime.GC()
	grown := max(peak.Load(), inUse()) - before
	if grown > 32<<20 {
		t.Fatalf("%d MiB of memory for %d MiB each way", grown>>20, size>>20)
	}
	testbed.Measured(t, "%d MiB up and %d MiB down in %.1f s, at most %d MiB more in use, with client and origin", size>>20, size>>20, time.Since(began).Seconds(), grown>>20)
}

func TestRFC9110Section7_8WebSocketEcho(t *testing.T) {
	r := newRig(t, nil)
	up := websocket.Upgrader{Subprotocols: []string{"echo"}}
	r.answer(func(w http.ResponseWriter, req *http.Request) {
		c, err := up.Upgrade(w, req, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = c.Close() }()
		for {
			kind, msg, err := c.ReadMessage()
			if err != nil {
				return
			}
			if err := c.WriteMessage(kind, msg); err != nil {
				return
			}
		}
	})
	d := websocket.Dialer{Subprotocols: []string{"echo"}}
	// A path of a cached route: an upgrade is nothing to be cached.
	c, resp, err := d.Dial(strings.Replace(r.url, "http", "ws", 1)+"/api/listings/1", nil)
	if err != nil {
		t.Fatal(err, resp)
	}
	if c.Subprotocol() != "echo" || resp.Header.Get("Cache-Status") == "" {
		t.Fatal(resp.Header)
	}
	for _, msg := range []string{"one", strings.Repeat("big", 100<<10), ""} {
		if err := c.WriteMessage(websocket.TextMessage, []byte(msg)); err != nil {
			t.Fatal(err)
		}
		if _, got, err := c.ReadMessage(); err != nil || string(got) != msg {
			t.Fatal(len(got), err)
		}
	}
	_ = c.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""))
	if _, _, err := c.ReadMessage(); err == nil {
		t.Fatal("the tunnel is still open")
	}
	_ = c.Close()
	r.eventually("the connection is gone", func() bool { return r.proxy.clients.Connections() == 0 })
}

func TestRFC9110Section7_8RefusedUpgradeIsPassedBack(t *testing.T) {
	r := newRig(t, nil)
	r.answer(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusForbidden) })
	_, resp, err := websocket.DefaultDialer.Dial(strings.Replace(r.url, "http", "ws", 1)+"/ws", nil)
	if err == nil || resp == nil || resp.StatusCode != 403 {
		t.Fatal(err, resp)
	}
}

// The client sends its body only once the origin has asked for it.
func TestRFC9110Section10_1_1ContinueComesFromTheOrigin(t *testing.T) {
	r := newRig(t, nil)
	seen := make(chan struct{})
	read := make(chan struct{})
	r.answer(func(w http.ResponseWriter, req *http.Request) {
		close(seen)
		<-read
		b, _ := io.ReadAll(req.Body) // sends 100 Continue
		_, _ = w.Write(b)
	})
	c := r.dial()
	c.send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
	<-seen
	_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if b, err := c.r.Peek(1); err == nil {
		t.Fatalf("%q before the origin wanted the body", b)
	}
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	close(read)
	line, err := c.r.ReadString('\n')
	if err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatal(line, err)
	}
	if line, _ = c.r.ReadString('\n'); line != "\r\n" {
		t.Fatal(line)
	}
	c.send("body")
	if got := c.read("POST"); got.body != "body" {
		t.Fatal(got.body)
	}
}

func TestRFC9110Section10_1_1RefusedExpectationClosesTheConnection(t *testing.T) {
	r := newRig(t, nil)
	r.answer(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		http.Error(w, "too much", http.StatusRequestEntityTooLarge)
	})
	c := r.dial()
	c.send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
	got := c.read("POST")
	if got.StatusCode != 413 || !got.Close {
		t.Fatal(got.Status, got.Header)
	}
	c.closed()
}

func TestRFC9110Section15_2InterimResponsesOfPassedRequests(t *testing.T) {
	r := newRig(t, nil)
	r.answer(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(103)
		w.WriteHeader(200)
	})
	var hints []string
	req, _ := http.NewRequest("POST", r.url+"/x", nil)
	req = req.WithContext(httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			hints = append(hints, fmt.Sprint(code, " ", h.Get("Link")))
			return nil
		},
	}))
	resp, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if len(hints) != 1 || hints[0] != "103 </style.css>; rel=preload" {
		t.Fatal(hints)
	}
}

func TestRFC9110Section6_5_1TrailersPassBothWays(t *testing.T) {
	r := newRig(t, nil)
	r.answer(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		b, _ := io.ReadAll(req.Body)
		sum := sha256.Sum256(b)
		_, _ = io.WriteString(w, "sum follows")
		w.Header().Set("X-Sum", hex.EncodeToString(sum[:4])+" "+req.Trailer.Get("X-Client"))
	})
	c := r.dial()
	c.send("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Client, Content-Length\r\n\r\n3\r\nabc\r\n0\r\nX-Client: mine\r\nContent-Length: 7\r\n\r\n")
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	if got := resp.Trailer.Get("X-Sum"); got != "ba7816bf mine" {
		t.Fatalf("%q", got)
	}
}

func TestClientThatLeavesCancelsAPassedRequest(t *testing.T) {
	for _, method := range []string{"GET", "POST"} {
		t.Run(method, func(t *testing.T) {
			r := newRig(t, nil)
			began, gone := make(chan struct{}), make(chan struct{})
			r.answer(func(_ http.ResponseWriter, req *http.Request) {
				_, _ = io.ReadAll(req.Body)
				close(began)
				<-req.Context().Done()
				close(gone)
			})
			c := r.dial()
			body := ""
			if method == "POST" {
				body = "Content-Length: 2\r\n\r\nhi"
			} else {
				body = "Cache-Control: no-store\r\n\r\n"
			}
			c.send(method + " /x HTTP/1.1\r\nHost: a\r\n" + body)
			<-began
			_ = c.Close()
			select {
			case <-gone:
			case <-time.After(10 * time.Second):
				t.Fatal("the origin's request goes on")
			}
		})
	}
}

func TestRFC9110Section7_6_1HopByHopFieldsEndHere(t *testing.T) {
	r := newRig(t, nil)
	seen := make(chan http.Header, 1)
	r.answer(func(w http.ResponseWriter, req *http.Request) {
		seen <- req.Header
		w.Header()["X-Secret"] = []string{"1"}
		w.Header()["Keep-Alive"] = []string{"timeout=5"}
		w.Header()["Connection"] = []string{"X-Secret"}
		w.Header()["X-Kept"] = []string{"a", "b"}
	})
	c := r.dial()
	c.send("GET /x HTTP/1.1\r\nHost: shop.example:8080\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: 1\r\nTE: trailers, gzip\r\n" +
		"Proxy-Authorization: Basic x\r\nProxy-Connection: keep-alive\r\nX-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Kept: 1\r\nX-Kept: 2\r\n\r\n")
	got := c.read("GET")
	h := <-seen
	for _, name := range []string{"X-Hop", "Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "User-Agent", "Accept-Encoding"} {
		if v, ok := h[name]; ok {
			t.Errorf("%s: %q reached the origin", name, v)
		}
	}
	want := map[string]string{
		"Te": "trailers", "Via": "1.1 walpurge", "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "shop.example:8080",
		"X-Forwarded-Proto": "http", "Forwarded": `for=127.0.0.1;host="shop.example:8080";proto=http`,
	}
	for name, v := range want {
		if h.Get(name) != v {
			t.Errorf("%s: %q, want %q", name, h.Get(name), v)
		}
	}
	if fmt.Sprint(h["X-Kept"]) != "[1 2]" || fmt.Sprint(got.Header["X-Kept"]) != "[a b]" {
		t.Error(h["X-Kept"], got.Header["X-Kept"])
	}
	if got.Header.Get("X-Secret") != "" || got.Header.Get("Keep-Alive") != "" || got.Header.Get("Via") != "1.1 walpurge" {
		t.Error(got.Header)
	}
}

func TestTrustedProxyIsBelieved(t *testing.T) {
	r := newRig(t, func(_ *rig, o *Options) {
		o.Clients.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	r.answer(func(w http.ResponseWriter, req *http.Request) {
		_, _ = fmt.Fprint(w, req.Header.Get("X-Forwarded-Proto"), " ", req.Header.Get("X-Forwarded-For"), " ", req.Header.Get("Forwarded"))
	})
	got := r.get("/api/listings/1", "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https", "Forwarded: for=6.6.6.6")
	if !strings.HasPrefix(got.body, "https 6.6.6.6, 127.0.0.1 for=6.6.6.6, for=127.0.0.1;") {
		t.Fatal(got.body)
	}
	// What the origin learns that way tells responses apart.
	if got := r.get("/api/listings/1", "X-Forwarded-Proto: http"); !strings.HasPrefix(got.body, "http ") {
		t.Fatal(got.body)
	}
}

func TestHeadOfPassedRequestKeepsItsLength(t *testing.T) {
	r := newRig(t, nil)
	r.answer(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "1234") })
	got := r.do("HEAD", "/x", nil)
	if got.ContentLength != 1234 || got.body != "" {
		t.Fatal(got.ContentLength)
	}
}

func TestRFC9111Section4_4UnsafeRequestEndsWhatIsStored(t *testing.T) {
	r := newRig(t, plainHTTP)
	r.say("one", "Cache-Control: max-age=60")
	r.get("/a")
	r.want(r.get("/a"), "one", "walpurge; hit")
	r.answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	r.do("DELETE", "/a", nil)
	r.want(r.get("/a"), "one", "walpurge; hit")
	r.say("two", "Cache-Control: max-age=60")
	r.do("POST", "/a", strings.NewReader("x"))
	r.want(r.get("/a"), "two", "walpurge; fwd=uri-miss")
}

func TestRFC9111Section4_4FillOlderThanAnUnsafeRequestIsNotKept(t *testing.T) {
	r := newRig(t, plainHTTP)
	g := newGate()
	r.answer(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == "GET" {
			g.pass()
			w.Header().Set("Cache-Control", "max-age=60")
			_, _ = io.WriteString(w, "old")
		}
	})
	first := make(chan reply, 1)
	go func() { first <- r.get("/a") }()
	r.eventually("the fill is at the origin", func() bool { return g.arrived.Load() == 1 })
	r.do("POST", "/a", strings.NewReader("x"))
	close(g.open)
	r.want(<-first, "old", "walpurge; fwd=uri-miss; fwd-status=200; detail=invalidated")
	r.say("new", "Cache-Control: max-age=60")
	r.want(r.get("/a"), "new", "walpurge; fwd=uri-miss")
}

// A client that reads nothing holds up nobody.
func TestSlowReaderHoldsUpNobody(t *testing.T) {
	r := newRig(t, func(_ *rig, o *Options) { o.MaxObject = 16 << 20 })
	big := strings.Repeat("x", 15<<20) // more than the sockets' buffers hold
	r.say(big)
	slow := r.dial()
	slow.send("GET /api/listings/1 HTTP/1.1\r\nHost: " + strings.TrimPrefix(r.url, "http://") + "\r\n\r\n")
	r.eventually("the response is stored", func() bool { return r.proxy.memory.Entries() == 1 })
	r.want(r.get("/api/listings/1"), big, "walpurge; hit")
	if got := slow.read("GET"); got.body != big {
		t.Fatal(len(got.body))
	}
}

func TestCloseLetsRequestsFinish(t *testing.T) {
	r := newRig(t, nil)
	g := newGate()
	r.answer(func(w http.ResponseWriter, _ *http.Request) {
		g.pass()
		_, _ = io.WriteString(w, "finished")
	})
	c := r.dial() // idle
	first := make(chan reply, 1)
	go func() { first <- r.get("/api/listings/1") }()
	r.eventually("the request is at the origin", func() bool { return g.arrived.Load() == 1 })
	closed := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		closed <- r.proxy.Close(ctx)
	}()
	c.closed()
	if _, err := net.Dial("tcp", r.proxy.Addr().String()); err == nil {
		t.Error("still accepting")
	}
	close(g.open)
	if got := <-first; got.body != "finished" || !got.Close {
		t.Fatal(got.body, got.Header)
	}
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
}
