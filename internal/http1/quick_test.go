package http1

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// quickServer answers targets under /q in Quick, and all else in Handler. Both
// say which of them it was.
func quickServer() (s *Server, quickly *atomic.Int64) {
	quickly = new(atomic.Int64)
	return &Server{
		Quick: func(ex *Exchange) bool {
			if !strings.HasPrefix(string(ex.Target), "/q") {
				ex.Found = string(ex.Target)
				return false
			}
			quickly.Add(1)
			text(ex, "quick "+string(ex.Target))
			return true
		},
		Handler: func(ex *Exchange) {
			found, _ := ex.Found.(string)
			text(ex, "slow "+string(ex.Target)+found)
		},
	}, quickly
}

// exchanges sends everything and reads as many responses.
func exchanges(t *testing.T, c net.Conn, br *bufio.Reader, sent string, want ...string) {
	t.Helper()
	if _, err := io.WriteString(c, sent); err != nil {
		t.Fatal(err)
	}
	for _, w := range want {
		if _, got := response(t, br); got != w {
			t.Fatalf("%q gave %q, not %q", sent, got, w)
		}
	}
}

func get(target string) string { return "GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n" }

func TestQuickAndHandlerTakeTurns(t *testing.T) {
	s, quickly := quickServer()
	c := start(t, s)
	br := bufio.NewReader(c)
	exchanges(t, c, br, get("/q0"), "slow /q0") // the first request is Handler's
	exchanges(t, c, br, get("/q1"), "quick /q1")
	exchanges(t, c, br, get("/a"), "slow /a/a")
	exchanges(t, c, br, get("/q2")+get("/q3")+get("/b")+get("/q4")+get("/q5"), "quick /q2", "quick /q3", "slow /b/b", "slow /q4", "slow /q5")
	exchanges(t, c, br, get("/q6"), "quick /q6")
	exchanges(t, c, br, "POST /q7 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"+get("/q8"), "slow /q7", "slow /q8")
	exchanges(t, c, br, "\r\n"+get("/q9"), "slow /q9")
	half := get("/q10")
	for i := range half[:len(half)-1] {
		exchanges(t, c, br, half[i:i+1])
	}
	exchanges(t, c, br, half[len(half)-1:], "slow /q10")
	if n := quickly.Load(); n != 4 {
		t.Errorf("%d requests were answered by Quick, not 4", n)
	}
}

func TestQuickRefusesWhatIsNoRequest(t *testing.T) {
	s, _ := quickServer()
	c := start(t, s)
	br := bufio.NewReader(c)
	exchanges(t, c, br, get("/a"), "slow /a")
	exchanges(t, c, br, get("/q")+"GET / HTTP/1.1\r\nHost : a\r\n\r\n", "quick /q", "")
	if _, err := br.ReadByte(); err != io.EOF {
		t.Error("the connection is still there:", err)
	}
}

func TestQuickAnswerEndsTheConnectionWhereItShall(t *testing.T) {
	s, _ := quickServer()
	c := start(t, s)
	br := bufio.NewReader(c)
	exchanges(t, c, br, get("/q"), "slow /q")
	exchanges(t, c, br, get("/q1")+"GET /q2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "quick /q1", "slow /q2")
	if _, err := br.ReadByte(); err != io.EOF {
		t.Error("the connection is still there:", err)
	}
}

// A response that the client is slow to take goes out whole.
func TestQuickAnswerLargerThanTheSocketsBuffer(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 1<<10) // is copied behind its head
	quickly := 0
	s := &Server{Handler: func(ex *Exchange) { text(ex, large) }, Quick: func(ex *Exchange) bool {
		quickly++
		text(ex, large)
		return true
	}}
	c := start(t, s)
	br := bufio.NewReader(c)
	exchanges(t, c, br, get("/"), large)
	const n = 1000 // 16 MB, sent before any of it is read
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(c, strings.Repeat(get("/"), n))
		sent <- err
	}()
	for range n {
		if _, got := response(t, br); got != large {
			t.Fatalf("%d bytes", len(got))
		}
	}
	if err := <-sent; err != nil || quickly == 0 {
		t.Fatal(quickly, err)
	}
}

// The end of a client's stream that has come together with its last request
// is not told again.
func TestQuickNoticesAnEndThatCameWithARequest(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	s := &Server{
		Handler: func(ex *Exchange) { text(ex, "") },
		Quick: func(ex *Exchange) bool {
			if string(ex.Target) == "/wait" {
				asked <- struct{}{}
				<-answer
			}
			text(ex, string(ex.Target))
			return true
		},
		IdleTimeout: time.Hour, HeaderTimeout: 40 * time.Millisecond, // so the sweeper comes each 10 ms
	}
	c := start(t, s)
	br := bufio.NewReader(c)
	exchanges(t, c, br, get("/"), "")
	exchanges(t, c, br, get("/wait"))
	<-asked
	exchanges(t, c, br, get("/last"))
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	close(answer)
	for _, want := range []string{"/wait", "/last"} {
		if _, got := response(t, br); got != want {
			t.Fatal(got)
		}
	}
	if _, err := br.ReadByte(); err != io.EOF {
		t.Fatal("the server has not closed its side:", err)
	}
}

// A connection that has been looked at goes on, and ends when it was idle for
// too long.
func TestQuickConnectionThatIsIdle(t *testing.T) {
	s, quickly := quickServer()
	s.IdleTimeout, s.HeaderTimeout = time.Hour, 40*time.Millisecond
	c := start(t, s)
	br := bufio.NewReader(c)
	exchanges(t, c, br, get("/a"), "slow /a")
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for i := range 3 {
		exchanges(t, c, br, get("/q"), "quick /q")
		for !isSettled(s) {
			<-tick.C
		}
		if n := quickly.Load(); n != int64(i+1) {
			t.Fatal(n)
		}
	}
	exchanges(t, c, br, get("/q"), "quick /q")
}

// isSettled tells whether the only connection is.
func isSettled(s *Server) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		return phase(c.state.Load()&7) == settled
	}
	return false
}

func TestQuickConnectionThatIsIdleForTooLongEnds(t *testing.T) {
	s, _ := quickServer()
	s.IdleTimeout = 100 * time.Millisecond
	c := start(t, s)
	br := bufio.NewReader(c)
	exchanges(t, c, br, get("/a")+get("/q"), "slow /a", "slow /q")
	exchanges(t, c, br, get("/q"), "quick /q")
	if _, err := br.ReadByte(); err != io.EOF {
		t.Fatal(err)
	}
}

func TestQuickOverManyConnections(t *testing.T) {
	s, quickly := quickServer()
	first := start(t, s)
	const clients, rounds = 50, 40
	failed := make(chan error, clients)
	for i := range clients {
		go func() {
			failed <- func() error {
				c, err := net.Dial("tcp", first.RemoteAddr().String())
				if err != nil {
					return err
				}
				defer func() { _ = c.Close() }()
				br := bufio.NewReader(c)
				for j := range rounds {
					target := fmt.Sprintf("/q%d.%d", i, j)
					if _, err := io.WriteString(c, get(target)); err != nil {
						return err
					}
					buf := make([]byte, 256)
					n, err := br.Read(buf)
					if err != nil {
						return err
					}
					if !strings.HasSuffix(string(buf[:n]), target) {
						return fmt.Errorf("%s was answered by %q", target, buf[:n])
					}
				}
				return nil
			}()
		}()
	}
	for range clients {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	if n := quickly.Load(); n != clients*(rounds-1) {
		t.Errorf("%d of %d requests were answered by Quick", n, clients*(rounds-1))
	}
}

// A connection that the sweeper wanted looked at just when a request came is
// not taken for one that is gone.
func TestQuickRequestThatComesWithTheSweeper(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	s := &Server{
		Handler: func(ex *Exchange) {
			if string(ex.Target) == "/first" { // a watch may read the beginning of the next request, which isn't for Quick then
				text(ex, "")
				return
			}
			gone := make(chan struct{})
			ex.Watch(func() { close(gone) })
			select {
			case <-gone:
				t.Error("the client is there")
			case <-time.After(50 * time.Millisecond): // nothing happens
			}
			text(ex, "")
		},
		Quick: func(*Exchange) bool {
			asked <- struct{}{}
			<-answer
			return false
		},
		IdleTimeout: time.Hour, HeaderTimeout: 40 * time.Millisecond,
	}
	c := start(t, s)
	br := bufio.NewReader(c)
	exchanges(t, c, br, get("/first"), "")
	exchanges(t, c, br, get("/"))
	<-asked
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for woken := false; !woken; <-tick.C {
		s.mu.Lock()
		for one := range s.conns {
			woken = one.recheck.Load()
		}
		s.mu.Unlock()
	}
	close(answer)
	if _, got := response(t, br); got != "" {
		t.Fatal(got)
	}
}
