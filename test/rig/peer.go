package rig

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

// Peer starts another proxy with the same configuration, as a process of its
// own, and waits until it is ready.
func (r *Rig) Peer() *Rig {
	r.T.Helper()
	p := r.StartPeer(r.Config)
	p.Ready()
	return p
}

// StartPeer starts a proxy with that configuration, as a process of its own.
func (r *Rig) StartPeer(config string) *Rig {
	r.T.Helper()
	p := &Rig{
		T: r.T, DBURL: r.DBURL, DB: r.DB, Redis: r.Redis, Origin: r.Origin, Config: config,
		Client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
	}
	exe, err := os.Executable()
	if err != nil {
		r.T.Fatal(err)
	}
	cmd := exec.Command(exe, "run", "-config", config)
	cmd.Env = append(os.Environ(), "WALPURGE_PROXY="+untilEOF)
	input, err := cmd.StdinPipe()
	if err != nil {
		r.T.Fatal(err)
	}
	logs, err := cmd.StderrPipe()
	if err != nil {
		r.T.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		r.T.Fatal(err)
	}
	p.process = cmd.Process
	addresses, ended := make(chan [2]string, 1), make(chan error, 1)
	kept := &Lines{}
	p.Logged = kept
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
	p.Stop = func() error {
		p.Stop = func() error { return nil }
		_ = input.Close()
		select {
		case err := <-ended:
			return err
		case <-time.After(30 * time.Second):
			_ = cmd.Process.Kill()
			return fmt.Errorf("the peer did not stop within 30 s")
		}
	}
	r.T.Cleanup(func() {
		if err := p.Stop(); err != nil {
			r.T.Errorf("stop the peer: %v", err)
		}
	})
	select {
	case a := <-addresses:
		p.URL, p.Admin = "http://"+a[0], "http://"+a[1]
	case err := <-ended:
		p.Stop = func() error { return nil }
		r.T.Fatalf("the peer ended: %v", err)
	case <-time.After(20 * time.Second):
		r.T.Fatal("the peer did not listen within 20 s")
	}
	return p
}

// Kill ends a peer as kill -9 does.
func (r *Rig) Kill() {
	r.T.Helper()
	r.dead.Store(true)
	if err := r.process.Kill(); err != nil {
		r.T.Fatal(err)
	}
	_ = r.Stop()
}

// Suspend stops a peer's execution, until Resume.
func (r *Rig) Suspend() { r.signal(syscall.SIGSTOP) }

// Resume lets it go on.
func (r *Rig) Resume() { r.signal(syscall.SIGCONT) }

func (r *Rig) signal(s syscall.Signal) {
	r.T.Helper()
	if err := r.process.Signal(s); err != nil {
		r.T.Fatal(err)
	}
}

// Leads tells whether the proxy holds the slot.
func (r *Rig) Leads() bool { return r.Status().Position.Connected }
