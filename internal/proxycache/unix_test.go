package proxycache

import (
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"walpurge/internal/coherence"
	"walpurge/internal/upstream"
)

func TestUnixSocket(t *testing.T) {
	r := newRig(t, nil)
	r.say("ok", "Cache-Control: max-age=60")
	began := time.Now()
	p, err := New(Options{Origin: upstream.Options{URL: r.proxy.opt.Origin.URL}, Now: func() coherence.Nanos { return coherence.Nanos(time.Since(began)) + 1 }})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "s")
	if err := p.Listen("unix:" + path); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- p.Serve() }()
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	for range 2 {
		resp, err := client.Get("http://service/x")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 || string(body) != "ok" {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
	}
	client.CloseIdleConnections()
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
