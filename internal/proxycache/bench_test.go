package proxycache

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"walpurge/internal/coherence"
	"walpurge/internal/http1"
	"walpurge/internal/proxycache/position"
	"walpurge/internal/proxycache/store"
)

// feed is a connection that asks the same n times and forgets the answers. It
// is no client of the protocol: it takes the kernel out of the measurement.
type feed struct {
	request []byte
	left    int
	done    chan struct{}
	once    sync.Once
}

func (f *feed) Read(p []byte) (int, error) {
	if f.left == 0 {
		return 0, io.EOF
	}
	f.left--
	return copy(p, f.request), nil
}
func (f *feed) Write(p []byte) (int, error)      { return len(p), nil }
func (f *feed) Close() error                     { f.once.Do(func() { close(f.done) }); return nil }
func (f *feed) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }
func (f *feed) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }
func (f *feed) SetDeadline(time.Time) error      { return nil }
func (f *feed) SetReadDeadline(time.Time) error  { return nil }
func (f *feed) SetWriteDeadline(time.Time) error { return nil }

// single is a listener with one connection.
type single struct {
	c    chan net.Conn
	once sync.Once
}

func (l *single) Accept() (net.Conn, error) {
	c, ok := <-l.c
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (l *single) Close() error   { l.once.Do(func() { close(l.c) }); return nil }
func (l *single) Addr() net.Addr { return &net.TCPAddr{} }

// asBrowser is a request as browsers send them.
const asBrowser = "GET /api/listings?city=Lagos&min_price=100 HTTP/1.1\r\nHost: shop.example\r\nConnection: keep-alive\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\nAccept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n" +
	"Accept-Language: en-GB,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nCookie: session=0123456789abcdef\r\nUpgrade-Insecure-Requests: 1\r\nSec-Fetch-Mode: navigate\r\n\r\n"

const plainRequest = "GET /api/listings/1 HTTP/1.1\r\nHost: shop.example\r\n\r\n"

// afterWrite is the same with a signed position beside the browser's cookies.
var afterWrite = strings.Replace(asBrowser, "abcdef\r\n", "abcdef; at="+position.NewSeal(testSecret).Sign("0000000000000007.0/1")+"\r\n", 1)

// Those who have the response already, by its tag and by its date.
var (
	byTag  = strings.Replace(asBrowser, "Upgrade-Insecure", "If-None-Match: \"0\", \"1\"\r\nUpgrade-Insecure", 1)
	byDate = strings.Replace(asBrowser, "Upgrade-Insecure", "If-Modified-Since: Fri, 27 Nov 2026 17:34:20 GMT\r\nUpgrade-Insecure", 1)
)

func benchHit(b *testing.B, request string) {
	r := newRig(b, func(_ *rig, o *Options) { o.Positions.Cookie, o.Positions.Secret = "at", testSecret })
	r.say(strings.Repeat("x", 2048), "Content-Type: application/json", `Etag: "1"`, "Last-Modified: Fri, 27 Nov 2026 17:34:20 GMT")
	c := r.dial()
	want := http.StatusOK
	if strings.Contains(request, "\r\nIf-") {
		want = http.StatusNotModified
	}
	for range 2 {
		c.send(request)
		if got := c.read("GET"); got.StatusCode != want {
			b.Fatal(got.Status)
		}
	}
	f := &feed{request: []byte(request), left: b.N, done: make(chan struct{})}
	benchFeed(b, r, f, f.done)
}

// BenchmarkHit is the whole way of a hit in this process but for the system
// calls: parsing, route, key, lookup, validation, counting, writing. It must
// not allocate; TestHitAllocatesNothing keeps it so.
func BenchmarkHit(b *testing.B) {
	b.Run("plain", func(b *testing.B) { benchHit(b, plainRequest) })
	b.Run("browser", func(b *testing.B) { benchHit(b, asBrowser) })
	b.Run("position", func(b *testing.B) { benchHit(b, afterWrite) })
	b.Run("tag", func(b *testing.B) { benchHit(b, byTag) })
	b.Run("date", func(b *testing.B) { benchHit(b, byDate) })
}

// tour is a feed that asks for each of n responses in an order in which nothing
// that it needs is in the processor's caches.
type tour struct {
	feed
	n, asked int
}

func (f *tour) Read(p []byte) (int, error) {
	if f.left == 0 {
		return 0, io.EOF
	}
	f.left--
	f.asked++
	b := append(p[:0], "GET /pages/"...)
	b = strconv.AppendInt(b, int64(f.asked*7919%f.n), 10)
	return len(append(b, " HTTP/1.1\r\nHost: shop.example\r\n\r\n"...)), nil
}

// BenchmarkHitAmongMany is a hit with many responses stored.
func BenchmarkHitAmongMany(b *testing.B) {
	r := newRig(b, func(_ *rig, o *Options) { o.Memory = 8 << 30 })
	p := r.proxy
	const n = 600_000
	head := "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Fri, 27 Nov 2026 17:34:20 GMT\r\nEtag: \"0123456789abcdef\"\r\nVia: 1.1 walpurge\r\n"
	for i := range n {
		e := &store.Entry{
			Memory: p.memory, Route: p.plain, Status: 200, Received: p.opt.Now(), Fresh: p.opt.Now() + coherence.Nanos(time.Hour),
			Body: fmt.Appendf(nil, `{"id":%d,"price":"100.00"}`, i),
		}
		e.SetKey("http://shop.example/pages/" + strconv.Itoa(i))
		e.SetHead(http1.FinishHead([]byte(head), 200, len(e.Body)))
		p.memory.Finish(e)
		if !p.memory.Put(e) {
			b.Fatal("not stored")
		}
	}
	f := &tour{feed: feed{left: b.N, done: make(chan struct{})}, n: n}
	benchFeed(b, r, f, f.done)
}

// benchFeed lets a connection be served to its end.
func benchFeed(b *testing.B, r *rig, c net.Conn, done <-chan struct{}) {
	asked := r.asked()
	ln := &single{c: make(chan net.Conn)}
	go func() { _ = r.proxy.clients.ServeOn(ln) }()
	defer func() { _ = ln.Close() }()
	b.ReportAllocs()
	b.ResetTimer()
	ln.c <- c
	<-done
	b.StopTimer()
	if r.asked() != asked {
		b.Fatal("not all were hits")
	}
}

func TestHitAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Log("the race detector allocates: only the benchmark's correctness is checked")
	}
	for _, request := range []string{plainRequest, asBrowser, afterWrite, byTag, byDate} {
		result := testing.Benchmark(func(b *testing.B) { benchHit(b, request) })
		if n := result.AllocsPerOp(); n > 0 && !raceEnabled {
			t.Errorf("%d allocations for a hit", n)
		}
	}
}

// BenchmarkHitEndToEnd is a hit over loopback, asked by keep-alive
// connections that wait for each answer.
func BenchmarkHitEndToEnd(b *testing.B) {
	for _, conns := range []int{1, 32} {
		b.Run(fmt.Sprint("connections=", conns), func(b *testing.B) {
			r := newRig(b, nil)
			r.say(strings.Repeat("x", 2048), "Content-Type: application/json")
			r.get("/api/listings/1")
			request := []byte(plainRequest)
			c := r.dial()
			c.send(plainRequest)
			c.read("GET")
			c.send(plainRequest)
			size, err := answerSize(c.r)
			if err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			var wg sync.WaitGroup
			for i := range conns {
				n := b.N / conns
				if i == 0 {
					n += b.N % conns
				}
				wg.Add(1)
				go func() {
					defer wg.Done()
					ask(b, r, request, n, size)
				}()
			}
			wg.Wait()
		})
	}
}

// answerSize reads one answer and counts its bytes.
func answerSize(br *bufio.Reader) (int, error) {
	n := 0
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			return 0, err
		}
		n += len(line)
		if line == "\r\n" {
			break
		}
	}
	m, err := br.Discard(2048)
	return n + m, err
}

func ask(b *testing.B, r *rig, request []byte, n, size int) {
	c, err := net.Dial("tcp", r.proxy.Addr().String())
	if err != nil {
		b.Error(err)
		return
	}
	defer func() { _ = c.Close() }()
	buf := make([]byte, size)
	for range n {
		if _, err := c.Write(request); err != nil {
			b.Error(err)
			return
		}
		// Age and ttl may gain or lose a digit: at least a whole body, at most a head more.
		if _, err := io.ReadAtLeast(c, buf, size-4); err != nil {
			b.Error(err)
			return
		}
	}
}
