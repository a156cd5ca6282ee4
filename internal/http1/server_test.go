package http1

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// start serves h on a free port.
func start(t *testing.T, s *Server) net.Conn {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Refuse = func(dst []byte, r *Refusal) []byte {
		return fmt.Appendf(dst, "HTTP/1.1 %d %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", r.Status, http.StatusText(r.Status))
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.Shutdown(ctx)
		if err := <-served; !errors.Is(err, ErrStopped) {
			t.Error(err)
		}
	})
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

func text(ex *Exchange, s string) {
	_ = ex.Send(fmt.Appendf(ex.Buffer(), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n", len(s)), []byte(s))
}

// response reads one response.
func response(t *testing.T, br *bufio.Reader) (*http.Response, string) {
	t.Helper()
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

func TestBodyThatIsShorterThanAnnouncedBreaksTheConnection(t *testing.T) {
	c := start(t, &Server{Handler: func(ex *Exchange) {
		_ = ex.Start(200, []byte("HTTP/1.1 200 OK\r\n"), 10)
		_, _ = ex.Write([]byte("abc"))
		if ex.Finish(nil) == nil {
			t.Error("Finish is content")
		}
	}})
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	b, _ := io.ReadAll(c)
	if !strings.HasSuffix(string(b), "\r\n\r\nabc") {
		t.Fatalf("%q", b)
	}
}

func TestBodyLongerThanAnnouncedIsNotSent(t *testing.T) {
	c := start(t, &Server{Handler: func(ex *Exchange) {
		_ = ex.Start(200, []byte("HTTP/1.1 200 OK\r\n"), 3)
		if _, err := ex.Write([]byte("abcHTTP/1.1 200 OK\r\n\r\n")); err == nil {
			t.Error("written")
		}
	}})
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if b, _ := io.ReadAll(c); !strings.HasSuffix(string(b), "\r\n\r\n") {
		t.Fatalf("%q", b)
	}
}

func TestHandlerThatPanicsLosesOnlyItsConnection(t *testing.T) {
	s := &Server{Handler: func(ex *Exchange) {
		if string(ex.Target) == "/panic" {
			panic("boom")
		}
		text(ex, "fine")
	}}
	c := start(t, s)
	other, err := net.Dial("tcp", c.RemoteAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	_, _ = io.WriteString(c, "GET /panic HTTP/1.1\r\nHost: a\r\n\r\n")
	if b, _ := io.ReadAll(c); len(b) != 0 {
		t.Fatalf("%q", b)
	}
	_, _ = io.WriteString(other, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if _, body := response(t, bufio.NewReader(other)); body != "fine" {
		t.Fatal(body)
	}
}

func TestUnreadBodyIsSkipped(t *testing.T) {
	c := start(t, &Server{Handler: func(ex *Exchange) { text(ex, string(ex.Target)) }})
	_, _ = io.WriteString(c, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde"+
		"POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\nGET /c HTTP/1.1\r\nHost: a\r\n\r\n")
	br := bufio.NewReader(c)
	for _, want := range []string{"/a", "/b", "/c"} {
		if _, got := response(t, br); got != want {
			t.Fatal(got)
		}
	}
}

func TestLargeUnreadBodyClosesTheConnection(t *testing.T) {
	c := start(t, &Server{Handler: func(ex *Exchange) { text(ex, "no") }})
	_, _ = io.WriteString(c, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\nabcde")
	br := bufio.NewReader(c)
	if _, got := response(t, br); got != "no" {
		t.Fatal(got)
	}
	if b, err := io.ReadAll(br); len(b) != 0 || err != nil {
		t.Fatal(b, err)
	}
}

func TestWatchNoticesTheClientAndKeepsWhatItSent(t *testing.T) {
	gone := make(chan struct{})
	next := make(chan struct{})
	c := start(t, &Server{Handler: func(ex *Exchange) {
		switch string(ex.Target) {
		case "/first":
			ex.Watch(func() { t.Error("the client is there") })
			<-next
			text(ex, "first")
		case "/second":
			ex.Watch(func() { close(gone) })
			<-gone
		}
	}})
	_, _ = io.WriteString(c, "GET /first HTTP/1.1\r\nHost: a\r\n\r\n")
	_, _ = io.WriteString(c, "GET /second HTTP/1.1\r\nHost: a\r\n\r\n")
	close(next)
	if _, got := response(t, bufio.NewReader(c)); got != "first" {
		t.Fatal(got)
	}
	_ = c.Close()
	select {
	case <-gone:
	case <-time.After(10 * time.Second):
		t.Fatal("not noticed")
	}
}

func TestStalledBodyEnds(t *testing.T) {
	failed := make(chan error, 1)
	c := start(t, &Server{BodyTimeout: 20 * time.Millisecond, Handler: func(ex *Exchange) {
		_, err := io.ReadAll(ex.Body)
		failed <- err
	}})
	_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
	if err := <-failed; err == nil {
		t.Fatal("a whole body")
	}
}

func TestShutdownClosesWhatDoesNotFinish(t *testing.T) {
	in, out := make(chan struct{}), make(chan struct{})
	s := &Server{Handler: func(*Exchange) {
		close(in)
		<-out
	}}
	c := start(t, s)
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	<-in
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(c); len(b) != 0 {
		t.Fatal(b, err)
	}
	close(out)
}
