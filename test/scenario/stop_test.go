package scenario

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"walpurge/internal/sidecar"
	"walpurge/test/rig"
)

// TestStopLetsRequestsFinish: asked to stop, the proxy accepts nothing new and
// lets what it has begun end.
func TestStopLetsRequestsFinish(t *testing.T) {
	r := rig.New(t, rig.Options{})
	arrived, answer := make(chan bool), make(chan bool)
	hook := func(w http.ResponseWriter, _ *http.Request) bool {
		arrived <- true
		<-answer
		_, _ = w.Write([]byte("late"))
		return true
	}
	r.Hook.Store(&hook)
	got := make(chan rig.Reply, 1)
	go func() {
		p, err := r.Try("/api/listings/1")
		if err != nil {
			t.Errorf("the request was cut off: %v", err)
		}
		got <- p
	}()
	<-arrived
	stopped := make(chan error, 1)
	go func() { stopped <- r.Stop() }()
	address := strings.TrimPrefix(r.URL, "http://")
	r.Eventually("nothing new is accepted", func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	select {
	case err := <-stopped:
		t.Fatalf("stopped before the request had ended: %v", err)
	default:
	}
	close(answer)
	if p := <-got; p.Status != 200 || p.Body != "late" {
		t.Errorf("status %d, body %q", p.Status, p.Body)
	}
	if err := <-stopped; err != nil {
		t.Errorf("stop: %v", err)
	}
}

// TestStopDoesNotWaitForEver: a request that doesn't end is cut off after
// shutdown_timeout, and that is no failure of the program.
func TestStopDoesNotWaitForEver(t *testing.T) {
	r := rig.New(t, rig.Options{Extra: "shutdown_timeout: 200ms\n"})
	arrived := make(chan bool, 8)
	hook := func(_ http.ResponseWriter, req *http.Request) bool {
		arrived <- true
		<-req.Context().Done()
		return true
	}
	r.Hook.Store(&hook)
	ended := make(chan bool)
	go func() {
		_, _ = r.Try("/api/listings/1")
		close(ended)
	}()
	<-arrived
	began := time.Now()
	if err := r.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("stopping took %v", took)
	}
	<-ended
}

// TestPortInUse: the message names the key, and nothing is left behind.
func TestPortInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "proxy.yaml")
	text := fmt.Sprintf("origin: http://127.0.0.1:1\nadmin: 127.0.0.1:0\nlisten: %s\n", taken.Addr())
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var message bytes.Buffer
	code := sidecar.Report(sidecar.Run(ctx, []string{"run", "-config", file}, &message, &message), &message)
	if code != 2 || !strings.Contains(message.String(), "proxy.yaml:3:") || !strings.Contains(message.String(), "choose another address") {
		t.Errorf("exit status %d: %s", code, &message)
	}
}

// TestStopWithAnAdminRequestOpen: somebody who doesn't finish a request on the
// admin port makes stopping no failure.
func TestStopWithAnAdminRequestOpen(t *testing.T) {
	r := rig.New(t, rig.Options{Extra: "shutdown_timeout: 200ms\n"})
	c, err := net.Dial("tcp", strings.TrimPrefix(r.Admin, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("POST /purge HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 16)); err != nil { // it is being served once it asks for the body
		t.Fatal(err)
	}
	if err := r.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
}

// TestStopWhileItWaitsForTheDatabase: a proxy that waits for its database ends as well as any other.
func TestStopWhileItWaitsForTheDatabase(t *testing.T) {
	file := filepath.Join(t.TempDir(), "proxy.yaml")
	text := "origin: http://127.0.0.1:1\npostgres: { url: \"postgres://127.0.0.1:1/x\" }\nroutes:\n  - { path: /x, depends_on: [listings] }\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	logs, logged := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := sidecar.Run(ctx, []string{"run", "-config", file}, io.Discard, logged)
		logged.CloseWithError(io.EOF)
		ended <- err
	}()
	said := 0
	for log := bufio.NewScanner(logs); log.Scan(); {
		if strings.Contains(log.Text(), `msg="waiting for PostgreSQL`) {
			said++
			if !strings.Contains(log.Text(), `error="connect to PostgreSQL: dial tcp 127.0.0.1:1: connect: connection refused"`) {
				t.Error(log.Text())
			}
			cancel()
		}
	}
	if err := <-ended; err != nil || said != 1 {
		t.Errorf("%v after %d lines", err, said)
	}
}

// TestStopWithADashboardOpen: a page that stays open ends with the proxy, and
// stopping doesn't wait for it.
func TestStopWithADashboardOpen(t *testing.T) {
	r := rig.New(t, rig.Options{Extra: "shutdown_timeout: 1m\n"})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.Admin+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := r.Client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	events := bufio.NewReader(resp.Body)
	if _, err := events.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- r.Stop() }()
	select {
	case err := <-stopped:
		if err != nil {
			t.Errorf("stop: %v", err)
		}
	case <-ctx.Done():
		t.Fatal("stopping waits for the page")
	}
}
