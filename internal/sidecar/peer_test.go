package sidecar

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// untilEOF makes the test binary run the proxy until its input ends, so that
// no proxy outlives its test.
const untilEOF = "until EOF"

// peer starts another proxy with the same configuration, as a process of its
// own, and waits until it is ready.
func (r *rig) peer() *rig {
	r.t.Helper()
	p := r.startPeer(r.config)
	p.ready()
	return p
}

// startPeer starts a proxy with that configuration, as a process of its own.
func (r *rig) startPeer(config string) *rig {
	r.t.Helper()
	p := &rig{
		t: r.t, dbURL: r.dbURL, db: r.db, redis: r.redis, origin: r.origin, config: config,
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
	}
	exe, err := os.Executable()
	if err != nil {
		r.t.Fatal(err)
	}
	cmd := exec.Command(exe, "run", "-config", config)
	cmd.Env = append(os.Environ(), "WALPURGE_PROXY="+untilEOF)
	input, err := cmd.StdinPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	logs, err := cmd.StderrPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	p.process = cmd.Process
	addresses, ended := make(chan [2]string, 1), make(chan error, 1)
	kept := &lines{}
	p.logged = kept
	go func() {
		lines := bufio.NewScanner(logs)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			line := lines.Text()
			if os.Getenv("RIG_LOG") != "" {
				fmt.Fprintln(os.Stderr, "peer", line)
			}
			kept.add(line)
			if strings.Contains(line, "msg=listening") {
				addresses <- [2]string{logValue(line, "addr"), logValue(line, "admin")}
			}
		}
		_, _ = io.Copy(io.Discard, logs)
		ended <- cmd.Wait()
	}()
	p.stop = func() error {
		p.stop = func() error { return nil }
		_ = input.Close()
		select {
		case err := <-ended:
			return err
		case <-time.After(30 * time.Second):
			_ = cmd.Process.Kill()
			return fmt.Errorf("the peer did not stop within 30 s")
		}
	}
	r.t.Cleanup(func() {
		if err := p.stop(); err != nil {
			r.t.Errorf("stop the peer: %v", err)
		}
	})
	select {
	case a := <-addresses:
		p.url, p.admin = "http://"+a[0], "http://"+a[1]
	case err := <-ended:
		p.stop = func() error { return nil }
		r.t.Fatalf("the peer ended: %v", err)
	case <-time.After(20 * time.Second):
		r.t.Fatal("the peer did not listen within 20 s")
	}
	return p
}

// kill ends a peer as kill -9 does.
func (r *rig) kill() {
	r.t.Helper()
	r.dead.Store(true)
	if err := r.process.Kill(); err != nil {
		r.t.Fatal(err)
	}
	_ = r.stop()
}

// suspend stops a peer's execution; resume lets it go on.
func (r *rig) suspend() { r.signal(syscall.SIGSTOP) }
func (r *rig) resume()  { r.signal(syscall.SIGCONT) }

func (r *rig) signal(s syscall.Signal) {
	r.t.Helper()
	if err := r.process.Signal(s); err != nil {
		r.t.Fatal(err)
	}
}

// leads tells whether the proxy holds the slot.
func (r *rig) leads() bool { return r.status().Position.Connected }
