package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// programs builds the three programs.
func programs(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", dir+string(filepath.Separator),
		"walpurge/dev/demo", "walpurge/cmd/origin", "walpurge/cmd/proxy")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the programs: %v\n%s", err, out)
	}
	return dir
}

// output collects what a program prints while it runs.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// startDemo starts the program in a directory of its own, with 2,000 listings and both outputs in one.
func startDemo(t *testing.T, programs string, env ...string) (*exec.Cmd, *output) {
	t.Helper()
	cmd := exec.Command(filepath.Join(programs, "demo"))
	cmd.Dir = t.TempDir()
	cmd.Env = append(append(os.Environ(), "DEMO_LISTINGS=2000", "DEMO_RATE=500", "DEMO_FOR="), env...)
	out := &output{}
	cmd.Stdout, cmd.Stderr = out, out
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		if t.Failed() {
			t.Logf("the demo printed:\n%s", out)
			logs, _ := filepath.Glob(filepath.Join(cmd.Dir, ".run", "*.log"))
			for _, log := range logs {
				t.Logf("%s:\n%s", filepath.Base(log), tail(log))
			}
		}
	})
	return cmd, out
}

// await waits for the program's end.
func await(t *testing.T, cmd *exec.Cmd) (status int) {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return cmd.ProcessState.ExitCode()
	case <-time.After(2 * time.Minute):
		t.Fatal("the demo does not end")
		return 0
	}
}

var lastLine = regexp.MustCompile(`^demo: requests=(\d+) hit_ratio=(\d\.\d\d) changes=(\d+) purged=(\d+) stale=(\d+)$`)

// readSummary is the numbers of the last line; the second is the hit ratio.
func readSummary(t *testing.T, out *output) [5]float64 {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	fields := lastLine.FindStringSubmatch(lines[len(lines)-1])
	if fields == nil {
		t.Fatalf("the last line is %q", lines[len(lines)-1])
	}
	var numbers [5]float64
	for i, field := range fields[1:] {
		number, err := strconv.ParseFloat(field, 64)
		must(t, err)
		numbers[i] = number
	}
	return numbers
}

// whatRequestsMet are the numbers of the lines before the last one, by their words.
func whatRequestsMet(t *testing.T, out *output) map[string]int {
	t.Helper()
	met := map[string]int{}
	for _, fields := range regexp.MustCompile(`(?m)^ *([a-z][^\d]+?) +(\d+) +\d+\.\d%$`).FindAllStringSubmatch(out.String(), -1) {
		n, err := strconv.Atoi(fields[2])
		must(t, err)
		met[fields[1]] = n
	}
	return met
}

// leftovers are the processes whose command line or working directory is inside dir, and the data directories there.
func leftovers(t *testing.T, dir string) []string {
	t.Helper()
	var left []string
	processes, err := filepath.Glob("/proc/[0-9]*")
	must(t, err)
	for _, process := range processes {
		pid, err := strconv.Atoi(filepath.Base(process))
		must(t, err)
		command, _ := os.ReadFile(filepath.Join(process, "cmdline"))
		cwd, _ := os.Readlink(filepath.Join(process, "cwd"))
		if alive(pid) && (bytes.Contains(command, []byte(dir)) || strings.HasPrefix(cwd, dir)) {
			left = append(left, fmt.Sprintf("process %d: %s", pid, bytes.ReplaceAll(command, []byte{0}, []byte{' '})))
		}
	}
	for _, name := range []string{"postgres", "redis"} {
		path := filepath.Join(dir, ".run", name)
		if _, err := os.Lstat(path); err == nil {
			left = append(left, path)
		}
	}
	return left
}

func TestDemo(t *testing.T) {
	dir := programs(t)
	for _, test := range []struct {
		name string
		run  func(t *testing.T, programs string)
	}{
		{"runs for its time", testRunsForItsTime},
		{"stops on interrupt", testStopsOnInterrupt},
		{"is interrupted while starting", testInterruptedWhileStarting},
		{"says which program died", testSaysWhichProgramDied},
		{"ends at once on a second interrupt", testSecondInterrupt},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, dir) })
	}
}

func testRunsForItsTime(t *testing.T, programs string) {
	cmd, out := startDemo(t, programs, "DEMO_FOR=5s")
	if status := await(t, cmd); status != 0 {
		t.Fatalf("exit status %d", status)
	}
	s := readSummary(t, out)
	if requests, hits, changes, purged, stale := s[0], s[1], s[2], s[3], s[4]; requests < 500 || hits < 0.2 || changes < 50 || purged < 1 || stale != 0 {
		t.Errorf("summary %v", s)
	}
	met := whatRequestsMet(t, out)
	hits, first, purged := met["hits"], met["misses on a first visit"], met["misses because the page was purged"]
	others, waited := met["others: past the cache, or after its lifetime"], met["requests that waited for the origin because of a purge"]
	if len(met) != 6 || float64(met["requests"]) != s[0] || hits+first+purged+others != met["requests"] {
		t.Errorf("%v don't add up to %.0f", met, s[0])
	}
	// Every page has its first visit, be it an auditor's; and what writers and auditors are at is purged and asked for again.
	if hits < first/4 || first < 50 || purged < 5 || waited > purged || others > met["requests"]/20 {
		t.Errorf("%v", met)
	}
	if left := leftovers(t, cmd.Dir); left != nil {
		t.Errorf("left over: %v", left)
	}
}

func testStopsOnInterrupt(t *testing.T, programs string) {
	cmd, out := startDemo(t, programs)
	eventually(t, "a live line", func() bool { return strings.Contains(out.String(), "   0:01  ") })
	must(t, cmd.Process.Signal(syscall.SIGINT))
	if status := await(t, cmd); status != 0 {
		t.Errorf("exit status %d", status)
	}
	if s := readSummary(t, out); s[0] == 0 {
		t.Errorf("summary %v", s)
	}
	if left := leftovers(t, cmd.Dir); left != nil {
		t.Errorf("left over: %v", left)
	}
}

func testInterruptedWhileStarting(t *testing.T, programs string) {
	cmd, out := startDemo(t, programs)
	eventually(t, "the first step", func() bool { return strings.Contains(out.String(), "starting") })
	must(t, cmd.Process.Signal(syscall.SIGTERM))
	if status := await(t, cmd); status != 0 {
		t.Errorf("exit status %d", status)
	}
	readSummary(t, out)
	if left := leftovers(t, cmd.Dir); left != nil {
		t.Errorf("left over: %v", left)
	}
}

func testSaysWhichProgramDied(t *testing.T, programs string) {
	cmd, out := startDemo(t, programs)
	eventually(t, "a live line", func() bool { return strings.Contains(out.String(), "   0:01  ") })
	must(t, signalChild(t, cmd.Process.Pid, "proxy", syscall.SIGKILL))
	if status := await(t, cmd); status != 1 {
		t.Errorf("exit status %d, want 1", status)
	}
	readSummary(t, out)
	if !strings.Contains(out.String(), "proxy run ended by itself: signal: killed") {
		t.Error("the reason is missing")
	}
	if left := leftovers(t, cmd.Dir); left != nil {
		t.Errorf("left over: %v", left)
	}
}

// signalChild signals the child of parent that runs the program name.
func signalChild(t *testing.T, parent int, name string, signal syscall.Signal) error {
	t.Helper()
	children, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", parent))
	must(t, err)
	for _, file := range children {
		list, _ := os.ReadFile(file)
		for field := range strings.FieldsSeq(string(list)) {
			pid, err := strconv.Atoi(field)
			must(t, err)
			program, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
			if filepath.Base(program) == name {
				return syscall.Kill(pid, signal)
			}
		}
	}
	return fmt.Errorf("process %d has no child %s", parent, name)
}

// testSecondInterrupt: the children go with the process, whatever it was waiting for.
func testSecondInterrupt(t *testing.T, programs string) {
	cmd, out := startDemo(t, programs)
	eventually(t, "a live line", func() bool { return strings.Contains(out.String(), "   0:01  ") })
	// With a service that stands still the last look takes until it gives up.
	must(t, signalChild(t, cmd.Process.Pid, "origin", syscall.SIGSTOP))
	must(t, cmd.Process.Signal(syscall.SIGINT))
	eventually(t, "the last look", func() bool { return strings.Contains(out.String(), "once more") })
	must(t, cmd.Process.Signal(syscall.SIGINT))
	_ = await(t, cmd)
	if !cmd.ProcessState.Sys().(syscall.WaitStatus).Signaled() {
		t.Errorf("it ended with %s, want the signal", cmd.ProcessState)
	}
	eventually(t, "no process is left", func() bool {
		for _, left := range leftovers(t, cmd.Dir) {
			if strings.HasPrefix(left, "process") {
				return false
			}
		}
		return true
	})
}

// TestDemoWithoutItsPrograms: the mend is in the message, and nothing was started.
func TestDemoWithoutItsPrograms(t *testing.T) {
	_, err := run(context.Background(), Settings{Listings: 1000, Dir: filepath.Join(t.TempDir(), ".run"), Programs: t.TempDir()}, &output{})
	if err == nil || !strings.Contains(err.Error(), "make build") {
		t.Errorf("error %v, want the mend", err)
	}
}
