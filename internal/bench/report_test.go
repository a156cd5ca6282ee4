package bench

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func sample() *report {
	result := func(name string, cpu ...float64) httpResult {
		return httpResult{name: name, cpu: cpu, rate: series{100_000}, busy: series{0.9}, requests: 1234}
	}
	return &report{
		machine: machine{cpu: "A processor", cores: 2, kernel: "6.1", versions: [][2]string{{"Go", "1.26"}, {"nginx", "1.22"}}, revision: "abc"},
		began:   time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), took: 90 * time.Second,
		http: []httpResult{result(guarded, 6, 7, 5), result(plain, 5, 5, 5), result(haproxy, 8, 9, 7), result(nginx, 10, 10, 10), result(bottom, 4, 4, 4)},
		log:  &backlogResult{settings: backlogSettings{changes: 200_000, cached: 100_000}, ours: series{2, 2.5, 2}, theirs: series{1.5, 1.5, 9}},
	}
}

func TestReportShowsRatiosAndGoals(t *testing.T) {
	r := sample()
	for name, got := range map[string]string{"text": r.text(), "markdown": r.markdown()} {
		flat := strings.Join(strings.Fields(strings.ReplaceAll(got, "|", " ")), " ")
		for _, want := range []string{
			"proxy, guarded 6.00 5.00 … 7.00 0.75 1.50 100000 90% 1234 0",
			"HAProxy 8.00 7.00 … 9.00 1.00 2.00",
			"it is 0.75, met.",
			"listener and guard 2.000 2.000 … 2.500 100000 0.75",
			"it is 0.75, not met.",
			"A processor, 2 cores, Linux 6.1",
			"Go 1.26, nginx 1.22",
			"2026-01-02 03:04 UTC, in 1m30s",
		} {
			if !strings.Contains(flat, want) {
				t.Errorf("%s lacks %q:\n%s", name, want, got)
			}
		}
	}
}

func TestReportOfOnePartHasNoOther(t *testing.T) {
	r := sample()
	r.http = nil
	if text := r.text(); strings.Contains(text, "HAProxy 8") || !strings.Contains(text, "backlog") {
		t.Errorf("got:\n%s", text)
	}
	r = sample()
	r.log = nil
	if text := r.markdown(); strings.Contains(text, "backlog") || !strings.Contains(text, "CPU of a cache hit") {
		t.Errorf("got:\n%s", text)
	}
}

func TestTrialIsCalledOne(t *testing.T) {
	r := sample()
	if strings.Contains(r.text(), "trial") {
		t.Error("a whole run is called a trial")
	}
	r.short = true
	if !strings.Contains(r.text(), "not to be relied on") {
		t.Error("a trial is not called one")
	}
}

func TestCommandLine(t *testing.T) {
	for args, want := range map[string]string{
		"":                     defaultReport,
		"-short":               "",
		"-only http":           "",
		"-short -out a/b.md":   "a/b.md",
		"-only backlog -out x": "x",
	} {
		s, err := parse(strings.Fields(args), nil)
		if err != nil || s.out != want {
			t.Errorf("%q: writes to %q, %v; want %q", args, s.out, err, want)
		}
	}
	for args, want := range map[string]string{
		"-no":       "bench: flag provided but not defined: -no\n",
		"extra":     "bench: unexpected argument \"extra\"\n",
		"-only cpu": "bench: -only cpu: choose http or backlog\n",
	} {
		var stdout, stderr strings.Builder
		if code := Main(t.Context(), strings.Fields(args), &stdout, &stderr); code != 2 || stderr.String() != want {
			t.Errorf("%q: exit %d, %q; want 2 and %q", args, code, stderr.String(), want)
		}
	}
	var stdout, stderr strings.Builder
	if code := Main(t.Context(), []string{"-h"}, &stdout, &stderr); code != 0 || !strings.HasPrefix(stdout.String(), "usage: bench") || stderr.Len() > 0 {
		t.Errorf("-h: exit %d, %q, %q", code, stdout.String(), stderr.String())
	}
}

// A run that fails says why, exits 1, writes no report and leaves no directory behind.
func TestFailedRunLeavesNothing(t *testing.T) {
	temp, out := t.TempDir(), filepath.Join(t.TempDir(), "latest.md")
	t.Setenv("TMPDIR", temp)
	var stdout, stderr strings.Builder
	code := Main(t.Context(), []string{"-short", "-proxy", "/nonexistent/proxy", "-out", out}, &stdout, &stderr)
	if code != 1 || !strings.HasPrefix(stderr.String(), "bench: measure cache hits: /nonexistent/proxy") {
		t.Errorf("exit %d, %q", code, stderr.String())
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a report was written")
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestCoreListsAreRead(t *testing.T) {
	for list, want := range map[string]string{"0": "0", "0-1": "0,1", "1,3-5": "1,3,4,5"} {
		cores, err := parseCores(list)
		if err != nil || coreList(cores) != want {
			t.Errorf("%s: got %v, %v; want %s", list, cores, err, want)
		}
	}
	for _, list := range []string{"", "a", "1-b", "1,,2"} {
		if cores, err := parseCores(list); err == nil {
			t.Errorf("%q: got %v, want an error", list, cores)
		}
	}
}

func TestInterruptedRunSaysSo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr strings.Builder
	code := Main(ctx, []string{"-only", "backlog"}, &stdout, &stderr)
	if code != 1 || stderr.String() != "bench: interrupted; no report was written\n" {
		t.Errorf("exit %d, %q", code, stderr.String())
	}
}
