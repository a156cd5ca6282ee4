package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// scripted answers every request on every connection with what say returns for its number, from 0, in order of arrival.
func scripted(t *testing.T, say func(n int) []string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close()
		conns.Wait()
	})
	var requests atomic.Int64
	conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer func() { _ = conn.Close() }()
				r := bufio.NewReader(conn)
				for {
					line, err := r.ReadString('\n')
					if err != nil {
						return
					}
					if line != "\r\n" {
						continue
					}
					for _, packet := range say(int(requests.Add(1)) - 1) {
						if _, err := io.WriteString(conn, packet); err != nil {
							return
						}
					}
				}
			})
		}
	})
	return l.Addr().String()
}

// answerOf is a whole answer.
func answerOf(body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nCache-Status: x; hit\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

func connected(t *testing.T, address string, connections int) *generator {
	t.Helper()
	g, err := newGenerator(t.Context(), address, connections)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

func simple(dst []byte, _ int) []byte { return append(dst, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"...) }

// However answers are cut into packets, each request gets one, and a judge sees the whole of it.
func TestAnswersArePutTogether(t *testing.T) {
	large := strings.Repeat("0123456789", 30_000)
	for name, c := range map[string]struct {
		packets []string
		body    string
		judged  bool
	}{
		"one packet":             {[]string{answerOf("hello")}, "hello", true},
		"byte by byte":           {bytewise(answerOf("hello")), "hello", true},
		"head and body":          {[]string{answerOf("hello")[:20], answerOf("hello")[20:]}, "hello", true},
		"no body":                {[]string{answerOf("")}, "", true},
		"larger than one read":   {[]string{answerOf(large)}, large, false},
		"head apart, large body": {[]string{answerOf(large)[:30], answerOf(large)[30:]}, large, false},
	} {
		g := connected(t, scripted(t, func(int) []string { return c.packets }), 3)
		seen := 0
		p := &plan{count: 30, status: 200, length: len(c.body), mark: []byte("Cache-Status: x; hit"), request: simple}
		if c.judged {
			p.judge = func(a answer) error {
				seen++
				if string(a.body) != c.body {
					return fmt.Errorf("got the body %q", a.body)
				}
				return nil
			}
		}
		for range 2 { // the connections can be used again
			o, err := g.run(t.Context(), p)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if o.requests != 30 || len(o.latencies) != 30 {
				t.Errorf("%s: %d requests and %d latencies, want 30", name, o.requests, len(o.latencies))
			}
		}
		if c.judged && seen != 60 {
			t.Errorf("%s: the judge saw %d answers, want 60", name, seen)
		}
	}
}

func TestAnswersThatAreNotAsPlannedEndTheLoad(t *testing.T) {
	for want, answer := range map[string]string{
		"want status 200":                         "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
		`want "hit" in the head`:                  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
		"want a body of 5 bytes":                  "HTTP/1.1 200 OK\r\nA: hit\r\nContent-Length: 4\r\n\r\nhell",
		"no Content-Length":                       "HTTP/1.1 200 OK\r\nA: hit\r\n\r\n",
		"1 bytes more than the answer's length":   "HTTP/1.1 200 OK\r\nA: hit\r\nContent-Length: 5\r\n\r\nhello!",
		"request 7: want status 200, got \"HTTP/": "HTTP/1.1 304 Not Modified\r\n\r\n",
	} {
		g := connected(t, scripted(t, func(n int) []string {
			if n == 7 {
				return []string{answer}
			}
			return []string{"HTTP/1.1 200 OK\r\nA: hit\r\ncontent-length: 5\r\n\r\nhello"}
		}), 1)
		_, err := g.run(t.Context(), &plan{count: 20, status: 200, length: 5, mark: []byte("hit"), request: simple})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// A lenient plan counts each answer without the mark once, however it is cut.
func TestAnswersWithoutTheMarkAreCounted(t *testing.T) {
	for name, judge := range map[string]func(answer) error{"judged": func(answer) error { return nil }, "not judged": nil} {
		g := connected(t, scripted(t, func(n int) []string {
			head := "A: hit"
			if n%3 == 0 {
				head = "A: miss"
			}
			return bytewise("HTTP/1.1 200 OK\r\n" + head + "\r\nContent-Length: 5\r\n\r\nhello")
		}), 2)
		o, err := g.run(t.Context(), &plan{count: 30, status: 200, length: 5, mark: []byte("hit"), lenient: true, request: simple, judge: judge})
		if err != nil || o.unmarked != 10 {
			t.Errorf("%s: %+v, %v; want 10 of 30", name, o, err)
		}
	}
}

func TestServerThatHangsUpEndsTheLoad(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		if conn, err := l.Accept(); err == nil {
			_, _ = conn.Read(make([]byte, 100))
			_ = conn.Close()
		}
	}()
	g := connected(t, l.Addr().String(), 1)
	if _, err := g.run(t.Context(), &plan{count: 1, status: 200, request: simple}); !dropped(err) {
		t.Errorf("a connection that the server has closed is %v", err)
	}
}

// A server that stalls once delays all that became due meanwhile, and each of them counts its wait (M7). A generator that
// only timed what it had sent would have one slow request.
func TestStallCountsForAllThatWasDue(t *testing.T) {
	const rate, stall = 1000, 300 * time.Millisecond
	for _, polite := range []bool{false, true} {
		address := scripted(t, func(n int) []string {
			if n == 100 {
				<-time.After(stall)
			}
			return []string{answerOf("x")}
		})
		g := connected(t, address, 1)
		o, err := g.run(t.Context(), &plan{rate: rate, span: 800 * time.Millisecond, status: 200, length: 1, request: simple, polite: polite})
		if err != nil {
			t.Fatal(err)
		}
		slow := 0
		for _, l := range o.latencies {
			if l >= stall/2 {
				slow++
			}
		}
		if want := int(rate * stall.Seconds() / 2); slow < want {
			t.Errorf("%d of %d requests waited for %s, want %d at least", slow, o.requests, stall/2, want)
		}
		if o.requests != 800 {
			t.Errorf("%d requests, want all 800 that were due", o.requests)
		}
	}
}

// Requests become due evenly, from the beginning, and none is sent before.
func TestRequestsBecomeDueEvenly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &plan{rate: rapid.Float64Range(1, 200_000).Draw(t, "rate")}
		n := rapid.IntRange(0, 1_000_000).Draw(t, "n")
		began := time.Now()
		at, next := p.due(began, n).Sub(began), p.due(began, n+1).Sub(began)
		gap := time.Duration(1e9 / p.rate)
		if at < 0 || next-at < gap-time.Microsecond || next-at > gap+time.Microsecond {
			t.Fatalf("request %d is due at %v, the next at %v; want %v between", n, at, next, gap)
		}
		if wait := p.pause(began, n, true, true); wait > 100*time.Millisecond {
			t.Fatalf("waits for %v", wait)
		}
	})
}

func TestRingHandsOutTheLongestIdle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r ring
		n := rapid.IntRange(1, 20).Draw(t, "n")
		r.fill(n)
		var model, out []int
		for i := range n {
			model = append(model, i)
		}
		for range rapid.IntRange(0, 100).Draw(t, "steps") {
			if len(model) > 0 && (len(out) == 0 || rapid.Bool().Draw(t, "pop")) {
				got := r.pop()
				if got != model[0] {
					t.Fatalf("got %d, want %d", got, model[0])
				}
				out, model = append(out, got), model[1:]
			} else {
				i := rapid.IntRange(0, len(out)-1).Draw(t, "back")
				r.push(out[i])
				model = append(model, out[i])
				out = append(out[:i], out[i+1:]...)
			}
			if r.n != len(model) {
				t.Fatalf("holds %d, want %d", r.n, len(model))
			}
		}
	})
}

// A generator whose core others took tells how long it waited for it.
func TestGeneratorTellsHowLongItWaitedForItsCore(t *testing.T) {
	quiet, noisy := &reading{outcome: &outcome{waited: 1}}, &reading{outcome: &outcome{waited: 3}}
	middle := &reading{outcome: &outcome{waited: 2}}
	if got := quietest([]*reading{noisy, middle, quiet}, 2); got[0] != quiet || got[1] != middle || len(got) != 2 {
		t.Errorf("%v", got)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, err := threadWaited()
	if err != nil {
		t.Fatal(err)
	}
	busy, stop := context.WithCancel(t.Context())
	defer stop()
	for range 4 * runtime.NumCPU() {
		go func() {
			runtime.LockOSThread()
			for busy.Err() == nil {
			}
		}()
	}
	for deadline := time.Now().Add(30 * time.Second); ; {
		after, err := threadWaited()
		if err != nil {
			t.Fatal(err)
		}
		if after-before > time.Millisecond {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("it has waited for %s beside others that took the core", after-before)
		}
	}
}
