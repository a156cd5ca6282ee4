package scenario

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"walpurge/internal/sidecar"
)

// proxyProcess is the program as a process of its own.
type proxyProcess struct {
	t     *testing.T
	cmd   *exec.Cmd
	ended chan error
}

// startProxy starts the program and waits until it listens. Files are passed
// on as a service manager does it.
func startProxy(t *testing.T, config, names string, files ...*os.File) *proxyProcess {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "run", "-config", config)
	if len(files) > 0 { // only the shell knows the process's number beforehand
		cmd = exec.Command("bash", "-c", `LISTEN_PID=$$ exec "$@"`, "bash", exe, "run", "-config", config)
		cmd.ExtraFiles = files
		cmd.Env = append(os.Environ(), fmt.Sprint("LISTEN_FDS=", len(files)), "LISTEN_FDNAMES="+names)
	} else {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, "WALPURGE_PROXY=1")
	logs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &proxyProcess{t, cmd, make(chan error, 1)}
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill()
			<-p.ended
		}
	})
	listens := make(chan bool, 1)
	go func() {
		var said []string
		scan := bufio.NewScanner(logs)
		for scan.Scan() {
			said = append(said, scan.Text())
			if strings.Contains(scan.Text(), "msg=listening") {
				listens <- true
			}
		}
		if err := p.cmd.Wait(); err != nil {
			p.ended <- fmt.Errorf("%w: %s", err, strings.Join(said, "\n"))
		}
		close(p.ended)
	}()
	select {
	case <-listens:
	case err := <-p.ended:
		t.Fatalf("the proxy ended: %v", err)
	case <-time.After(30 * time.Second):
		t.Fatal("the proxy did not listen within 30 s")
	}
	return p
}

// stop asks the process to end and waits until it has.
func (p *proxyProcess) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		p.t.Fatal(err)
	}
	if err := <-p.ended; err != nil {
		p.t.Errorf("the proxy ended badly: %v", err)
	}
}

// traffic asks again and again, each time on a connection of its own, and
// fails the test if one is refused or broken.
type traffic struct {
	served atomic.Int64
	failed atomic.Int64
	stop   func()
}

func newTraffic(t *testing.T, network, address string) *traffic {
	t.Helper()
	tr := &traffic{}
	ctx, cancel := context.WithCancel(context.Background())
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for ctx.Err() == nil {
				resp, err := client.Get("http://proxy/page")
				if err == nil {
					var body []byte
					body, err = io.ReadAll(resp.Body)
					resp.Body.Close()
					if err == nil && (resp.StatusCode != 200 || string(body) != "page") {
						err = fmt.Errorf("%d %q", resp.StatusCode, body)
					}
				}
				if err != nil {
					tr.failed.Add(1)
					t.Errorf("a request failed: %v", err)
					return
				}
				tr.served.Add(1)
			}
		})
	}
	tr.stop = sync.OnceFunc(func() { cancel(); group.Wait() })
	t.Cleanup(tr.stop)
	return tr
}

// more waits until more has been served.
func (tr *traffic) more(t *testing.T) {
	t.Helper()
	before := tr.served.Load()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for tr.served.Load() < before+100 && tr.failed.Load() == 0 {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("nothing was served for 30 s")
		}
	}
}

func pageOrigin(t *testing.T) string {
	t.Helper()
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = w.Write([]byte("page"))
	}))
	t.Cleanup(origin.Close)
	return origin.URL
}

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "proxy.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestRestartWithSocketActivation: the service manager holds the ports, so
// that connections wait while no proxy runs, and none is refused.
func TestRestartWithSocketActivation(t *testing.T) {
	file := func(ln net.Listener, err error) *os.File {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		if u, ok := ln.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(false)
		}
		f, err := ln.(interface{ File() (*os.File, error) }).File()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	clients := file(ln, err)
	socket := filepath.Join(t.TempDir(), "admin.sock")
	aln, err := net.Listen("unix", socket)
	admins := file(aln, err)
	// The addresses of the file are not used.
	config := writeConfig(t, "listen: 127.0.0.1:1\nadmin: 127.0.0.1:2\norigin: "+pageOrigin(t)+"\n")
	p := startProxy(t, config, "admin:listen", admins, clients)
	load := newTraffic(t, "tcp", ln.Addr().String())
	for range 2 {
		load.more(t)
		p.stop()
		p = startProxy(t, config, "admin:listen", admins, clients)
	}
	load.more(t)
	if err := sidecar.Run(t.Context(), []string{"status", "-check", "-ready", "-admin", "unix:" + socket}, io.Discard, io.Discard); err != nil {
		t.Error(err)
	}
	load.stop()
	p.stop()
}

// TestRestartWithReusePort: the next process starts before the last one stops.
func TestRestartWithReusePort(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	ln.Close()
	config := writeConfig(t, "listen: "+address+"\nadmin: 127.0.0.1:0\nreuse_port: true\norigin: "+pageOrigin(t)+"\n")
	p := startProxy(t, config, "")
	load := newTraffic(t, "tcp", address)
	for range 2 {
		load.more(t)
		next := startProxy(t, config, "")
		load.more(t)
		p.stop()
		p = next
	}
	load.more(t)
	load.stop()
	p.stop()
}

// TestUnixSockets: clients and the origin can be behind sockets, and a socket
// that a killed process has left behind is in nobody's way.
func TestUnixSockets(t *testing.T) {
	dir := t.TempDir()
	origin := filepath.Join(dir, "origin.sock")
	oln, err := net.Listen("unix", origin)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "proxy" {
			t.Errorf("the origin was asked for the host %q", r.Host)
		}
		_, _ = w.Write([]byte("page"))
	})}
	go func() { _ = server.Serve(oln) }()
	t.Cleanup(func() { server.Close() })
	listen := filepath.Join(dir, "l.sock")
	config := writeConfig(t, "listen: unix:"+listen+"\nadmin: unix:"+filepath.Join(dir, "a.sock")+"\norigin: unix:"+origin+"\n")
	p := startProxy(t, config, "")
	load := newTraffic(t, "unix", listen)
	load.more(t)
	load.stop()
	if err := p.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	if _, err := os.Lstat(listen); err != nil {
		t.Fatalf("the test expects a socket to be left behind: %v", err)
	}
	p = startProxy(t, config, "")
	load = newTraffic(t, "unix", listen)
	load.more(t)
	load.stop()
	// One that is in use is not taken away.
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	second := exec.Command(exe, "run", "-config", config)
	second.Env = append(os.Environ(), "WALPURGE_PROXY=1")
	if out, err := second.CombinedOutput(); err == nil || !strings.Contains(string(out), "address already in use") {
		t.Errorf("a second process: %v: %s", err, out)
	}
	p.stop()
}

// TestForeignSocketsAreRefused: what the service manager passes on and can't
// be used is one clear sentence.
func TestForeignSocketsAreRefused(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	config := writeConfig(t, "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\norigin: http://127.0.0.1:1\n")
	cmd := exec.Command("bash", "-c", `LISTEN_PID=$$ exec "$@"`, "bash", exe, "run", "-config", config)
	cmd.ExtraFiles = []*os.File{null}
	cmd.Env = append(os.Environ(), "LISTEN_FDS=1", "WALPURGE_PROXY=1")
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), "FileDescriptorName=listen") {
		t.Errorf("%v: %s", err, out)
	}
}
