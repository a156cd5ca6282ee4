package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestStatIsReadBehindAnyName(t *testing.T) {
	for _, name := range []string{"(nginx)", "(a b)", "(a) S 1 2 3)", "()"} {
		text := "42 " + name + " S 1 7 7 0 -1 4194560 2000 0 0 0 100 20 3 4 20 0 1 0 12345 1000 10\n"
		s, err := parseStat([]byte(text))
		if err != nil || s.pid != 42 || s.group != 7 || s.ended != 7 {
			t.Errorf("%s: got %+v, %v; want process 42 of group 7 and 7 ticks of ended children", name, s, err)
		}
	}
	for _, text := range []string{"", "42 nginx S 1 7", "42 (nginx) S 1 7 7 0 -1 4194560 2000 0 0 0 100 20 3", "42 (nginx) S 1 x 7 0 -1 4194560 2000 0 0 0 100 20 3 4 20", "x (nginx) S 1 7 7 0 -1 4194560 2000 0 0 0 100 20 3 4 20"} {
		if s, err := parseStat([]byte(text)); err == nil {
			t.Errorf("%q: got %+v, want an error", text, s)
		}
	}
}

// burning waits until the group has used some CPU.
func burning(t *testing.T, p *process) {
	t.Helper()
	err := eventually(t.Context(), "CPU is used", func() (bool, error) {
		used, err := groupCPU(p.Handle.Pid)
		return used >= 3*tick, err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func shell(t *testing.T, script string) *process {
	t.Helper()
	cores, err := allowedCores()
	if err != nil {
		t.Fatal(err)
	}
	p, err := start(filepath.Join(t.TempDir(), "log"), cores[0], nil, "sh", "-c", script)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() { // maybe before it was stopped
			_ = syscall.Kill(-p.Handle.Pid, syscall.SIGKILL)
		}
	})
	return p
}

// The leader itself only waits.
func TestRunningChildrenCount(t *testing.T) {
	p := shell(t, "(while :; do :; done) & wait")
	burning(t, p)
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
}

// The leader waits for a child that has used CPU, and then sleeps: what it has used itself is next to nothing.
func TestEndedChildrenCount(t *testing.T) {
	p := shell(t, "(i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done); exec sleep 60")
	err := eventually(t.Context(), "the child has ended", func() (bool, error) {
		name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", p.Handle.Pid))
		return string(name) == "sleep\n", err
	})
	if err != nil {
		t.Fatal(err)
	}
	if used, err := groupCPU(p.Handle.Pid); err != nil || used < 3*tick {
		t.Errorf("the group has used %s, %v; want at least %s", used, err, 3*tick)
	}
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
}

func TestStopEndsTheWholeGroup(t *testing.T) {
	for name, script := range map[string]string{
		"all ignore SIGTERM":       "trap '' TERM; (while :; do :; done) & wait",
		"the child ignores it":     "(trap '' TERM; while :; do :; done) & wait",
		"nobody ignores it at all": "(while :; do :; done) & wait",
	} {
		p := shell(t, script)
		burning(t, p)
		if err := p.stop(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		err := eventually(t.Context(), "the group is gone", func() (bool, error) {
			_, err := groupCPU(p.Handle.Pid)
			return err != nil, nil
		})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
}
