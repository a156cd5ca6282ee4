package subprocess

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

func start(t *testing.T, script string) *Process {
	t.Helper()
	p, err := Start(exec.Command("sh", "-c", script), syscall.SIGKILL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop(syscall.SIGKILL, time.Minute) })
	return p
}

func TestStatusTellsHowAChildHasEnded(t *testing.T) {
	for script, want := range map[string]string{"exit 0": "exit status 0", "exit 3": "exit status 3", "kill -9 $$": "signal: killed"} {
		p := start(t, script)
		<-p.Done
		if got := p.Status(); got != want || (p.Err() == nil) != (script == "exit 0") {
			t.Errorf("%s: %s, %v", script, got, p.Err())
		}
		if p.Running() {
			t.Errorf("%s: it still runs", script)
		}
		if err := errors.Join(p.Signal(syscall.SIGTERM), p.Stop(syscall.SIGTERM, 0)); err != nil {
			t.Errorf("%s: to stop what has ended is no error: %v", script, err)
		}
	}
}

// TestStopWakesAPausedChild, which would not look at the signal otherwise.
func TestStopWakesAPausedChild(t *testing.T) {
	p := start(t, "exec sleep 1000")
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(syscall.SIGTERM, time.Minute); err != nil || p.Running() {
		t.Errorf("%v; running: %t", err, p.Running())
	}
}

func TestStopSaysThatAChildStays(t *testing.T) {
	cmd := exec.Command("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p, err := Start(cmd, syscall.SIGKILL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop(syscall.SIGKILL, time.Minute) })
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(syscall.SIGTERM, time.Millisecond); err == nil || !strings.Contains(err.Error(), "still runs") {
		t.Errorf("error %v", err)
	}
	if (*Process)(nil).Running() {
		t.Error("none runs")
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := Run(ctx, exec.Command("sleep", "1000")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the context's", err)
	}
	if err := Run(t.Context(), exec.Command("false")); err == nil {
		t.Error("no error for exit status 1")
	}
	if err := Run(t.Context(), exec.Command("/there/is/no/such/program")); err == nil {
		t.Error("no error for what can't be started")
	}
}
