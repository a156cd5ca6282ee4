package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// childLog makes this binary start a child of its own with that log, print its process id and wait to be killed.
const childLog = "WALPURGE_DEMO_CHILD_LOG"

func startAndWait(log string) {
	c, err := startChild(log, "sleep", "1000")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(c.Handle.Pid)
	_, _ = bufio.NewReader(os.Stdin).ReadByte()
}

// alive reports whether pid is a process that has not ended.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	return len(fields) > 0 && fields[0] != "Z" && fields[0] != "X"
}

func TestChildrenEndWithAKilledDemo(t *testing.T) {
	self, err := os.Executable()
	must(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childLog+"="+filepath.Join(t.TempDir(), "log"))
	stdin, err := cmd.StdinPipe() // held open until the end
	must(t, err)
	defer func() { _ = stdin.Close() }()
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	line, err := bufio.NewReader(stdout).ReadString('\n')
	must(t, err)
	var pid int
	if _, err := fmt.Sscan(line, &pid); err != nil {
		t.Fatalf("the child said %q", line)
	}
	if !alive(pid) {
		t.Fatal("the child's child doesn't run")
	}
	must(t, cmd.Process.Signal(syscall.SIGKILL))
	_ = cmd.Wait()
	eventually(t, "the child's child ends", func() bool { return !alive(pid) })
}

func TestAChildThatDiesIsReportedWithItsLog(t *testing.T) {
	c, err := startChild(filepath.Join(t.TempDir(), "log"), "sh", "-c", "echo the reason is this; exit 3")
	must(t, err)
	err = c.watch(t.Context())
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "the reason is this") {
		t.Errorf("error %v, want the status and the log's end", err)
	}
	if err := c.stop(); err != nil {
		t.Errorf("stop a child that has ended: %v", err)
	}
}

func TestAChildThatExitsWithZeroBeforeItsTimeIsReported(t *testing.T) {
	c, err := startChild(filepath.Join(t.TempDir(), "log"), "true")
	must(t, err)
	if err := c.watch(t.Context()); err == nil {
		t.Error("no error")
	}
}

func TestStopWaitsForAnOrderlyEnd(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	c, err := startChild(log, "sh", "-c", "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done")
	must(t, err)
	eventually(t, "the child is ready", func() bool { return tail(log) == "ready" })
	must(t, c.stop())
	if got := tail(log); got != "ready\nbye" {
		t.Errorf("the log ends with %q", got)
	}
}

func TestStopReportsAFailure(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	c, err := startChild(log, "sh", "-c", "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done")
	must(t, err)
	eventually(t, "the child is ready", func() bool { return tail(log) == "ready" })
	if err := c.stop(); err == nil || !strings.Contains(err.Error(), "exit status 5") {
		t.Errorf("error %v, want the status", err)
	}
}

func TestRunChildEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := runChild(ctx, filepath.Join(t.TempDir(), "log"), "sleep", "1000")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the context's", err)
	}
}
