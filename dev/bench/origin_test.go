package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"walpurge/dev/subprocess"
)

// around returns the address of a server that changes the good answer.
func around(t *testing.T, change func(http.ResponseWriter)) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { change(w) }))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func startOrigin(t *testing.T) *counted {
	t.Helper()
	o, err := newOrigin()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.close() })
	return o
}

func TestWrongAnswersAreFound(t *testing.T) {
	const mark = "Cache-Status: walpurge; hit"
	o, body := startOrigin(t), bodyOf(pageSize)
	whole := func(w http.ResponseWriter) { _, _ = w.Write(body) }
	for want, change := range map[string]func(http.ResponseWriter){
		"":                     func(w http.ResponseWriter) { w.Header().Set("Cache-Status", "walpurge; hit; ttl=5"); whole(w) },
		"status 502":           func(w http.ResponseWriter) { w.WriteHeader(502); whole(w) },
		"a body of 2047 bytes": func(w http.ResponseWriter) { _, _ = w.Write(body[1:]) },
		"a body of 2048 bytes": func(w http.ResponseWriter) { _, _ = io.WriteString(w, strings.Repeat("x", len(body))) },
		`want "Cache-Status: walpurge; hit" in the head, got "Cache-Status: walpurge; fwd=uri-miss`: func(w http.ResponseWriter) {
			w.Header().Set("Cache-Status", "walpurge; fwd=uri-miss")
			whole(w)
		},
	} {
		err := o.fetch(t.Context(), around(t, change), page, mark)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// A server that passes every request on is never warm, whatever it says of itself.
func TestForwardingIsNotCaching(t *testing.T) {
	o := startOrigin(t)
	p := &process{&subprocess.Process{}, "forwarder", "none"}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := o.warm(ctx, p, o.address, ""); err == nil || !strings.Contains(err.Error(), "no answer from the cache") {
		t.Errorf("got %v", err)
	}
	if o.requests.Load() < 2 {
		t.Errorf("asked %d times, want more", o.requests.Load())
	}
}

func TestServerThatEndsIsNotWaitedFor(t *testing.T) {
	o := startOrigin(t)
	p := shell(t, "echo the reason >&2; exit 3")
	<-p.Done
	if err := o.warm(t.Context(), p, "127.0.0.1:1", ""); err == nil || !strings.Contains(err.Error(), "exit status 3; its log says:\nthe reason") {
		t.Errorf("got %v", err)
	}
}
