package main

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func sample() *report {
	return &report{
		machine: machine{cpu: "A processor", cores: 2, kernel: "6.1", versions: [][2]string{{"Go", "1.26"}, {"nginx", "1.22"}}, revision: "abc"},
		began:   time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), took: 90 * time.Second,
		results: []*result{
			hitsResult([]*contender{
				contend(guarded, 1, 6, 7, 5), contend(plain, 1, 5, 5, 5), contend(haproxy, 2, 8, 9, 7), contend(nginx, 4, 10, 10, 10), contend(varnish, 3, 20, 20, 20),
				contend(traffic, 0.5, 12, 12, 12), contend(django, 9, 300, 300, 300), contend(bottom, 0.1, 4, 4, 4),
			}, 20_000, 3),
			(&backlogResult{settings: backlogSettings{changes: 200_000, cached: 100_000}, ours: series{2, 2.5, 2}, theirs: series{1.5, 1.5, 9}}).result(),
		},
	}
}

// contend is a contestant whose p99 at the same rate is known.
func contend(name string, p99 float64, cpu ...float64) *contender {
	at := map[pace]series{commonPace: {p99}}
	return &contender{name: name, cpu: cpu, rate: series{100_000}, busy: series{0.9}, requests: 1234, p50: at, p99: at, p999: at}
}

func TestReportShowsRatiosAndGoals(t *testing.T) {
	r := sample()
	for name, got := range map[string]string{"text": r.text(), "markdown": r.markdown()} {
		flat := strings.Join(strings.Fields(strings.ReplaceAll(got, "|", " ")), " ")
		for _, want := range []string{
			"proxy, guarded 0.75 1.50 6.00 5.00 … 7.00 100000 90% 1234 0",
			"HAProxy 1.00 2.00 8.00 7.00 … 9.00",
			"ours / HAProxy 0.75 at most 0.82 met",
			"ours / C floor 1.50 at most 1.40 not met",
			"p99 of a hit at the same rate (20000/s): ours / best peer (Traffic Server) 2.00 at most 1.00 not met",
			"the listener / pg_recvlogical 0.75 at least 0.90 not met",
			"3 of 6 goals met.",
			"listener and guard 0.75 2.000 2.000 … 2.500 100000",
			"Traffic Server the same rate for all 20000 0.500 0.500 0.500",
			"A processor, 2 cores, Linux 6.1",
			"Go 1.26, nginx 1.22",
			"2026-01-02 03:04 UTC, in 1m30s",
		} {
			if !strings.Contains(flat, want) {
				t.Errorf("%s lacks %q:\n%s", name, want, got)
			}
		}
		if goals, tables := strings.Index(got, "Goals"), strings.Index(got, "A hit"); goals < 0 || goals > tables {
			t.Errorf("%s: the goals don't come first", name)
		}
	}
	if !strings.Contains(r.markdown(), "![hits](hits.svg)") {
		t.Error("the picture isn't shown")
	}
}

// A goal is met at its limit, and not beyond it in the direction that is meant.
func TestGoalsHaveADirection(t *testing.T) {
	for _, c := range []struct {
		ratio   float64
		atLeast bool
		met     bool
	}{{1, false, true}, {1.01, false, false}, {0.5, false, true}, {1, true, true}, {0.99, true, false}, {2, true, true}, {math.NaN(), false, false}, {math.NaN(), true, false}} {
		if g := (goal{ratio: c.ratio, limit: 1, atLeast: c.atLeast}); g.met() != c.met {
			t.Errorf("%+v: met %v", c, g.met())
		}
	}
}

// A part that could not be measured is named before anything else.
func TestReportNamesWhatFailed(t *testing.T) {
	r := sample()
	r.failures = []error{errors.New("measure keys: nginx does not serve:\nno answer")}
	for name, got := range map[string]string{"text": r.text(), "markdown": r.markdown()} {
		at := strings.Index(got, "measure keys: nginx does not serve: no answer")
		if at < 0 || at > strings.Index(got, "Goals") {
			t.Errorf("%s: the failure doesn't come first:\n%s", name, got)
		}
	}
}

func TestPartsAfterAFailedOneAreMeasured(t *testing.T) {
	good := func(context.Context, *stage) (*result, error) { return &result{tables: []table{{title: "Good"}}}, nil }
	bad := func(context.Context, *stage) (*result, error) { return nil, errors.New("no answer") }
	r := &report{}
	if err := r.measure(t.Context(), nil, []part{{"one", "", bad}, {"two", "", good}}, t.Logf); err != nil {
		t.Fatal(err)
	}
	if len(r.results) != 1 || len(r.failures) != 1 || r.failures[0].Error() != "measure one: no answer" {
		t.Errorf("got %d results and %v", len(r.results), r.failures)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.measure(ctx, nil, []part{{"one", "", bad}}, t.Logf); !errors.Is(err, context.Canceled) {
		t.Errorf("an interrupted run went on: %v", err)
	}
}

func TestReportWithoutGoalsHasNoTableOfThem(t *testing.T) {
	r := &report{results: []*result{{tables: []table{{title: "One", head: []string{""}}}}}}
	if text := r.text(); strings.Contains(text, "Goals") || !strings.Contains(text, "One") {
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
		"-only hits":           "",
		"-short -out a/b.md":   "a/b.md",
		"-only backlog -out x": "x",
		"-before bin/old":      "",
	} {
		s, err := parse(strings.Fields(args), nil)
		if err != nil || s.out != want {
			t.Errorf("%q: writes to %q, %v; want %q", args, s.out, err, want)
		}
	}
	for args, want := range map[string]string{
		"-no":            "bench: flag provided but not defined: -no\n",
		"-only before":   "bench: the part before needs an earlier build; name its program with -before\n",
		"extra":          "bench: unexpected argument \"extra\"\n",
		"-only hits,cpu": "bench: -only hits,cpu: there is no part \"cpu\"; choose from " + partNames() + "\n",
	} {
		var stdout, stderr strings.Builder
		if code := bench(t.Context(), strings.Fields(args), &stdout, &stderr); code != 2 || stderr.String() != want {
			t.Errorf("%q: exit %d, %q; want 2 and %q", args, code, stderr.String(), want)
		}
	}
	var stdout, stderr strings.Builder
	if code := bench(t.Context(), []string{"-h"}, &stdout, &stderr); code != 0 || !strings.HasPrefix(stdout.String(), "usage: bench") || stderr.Len() > 0 {
		t.Errorf("-h: exit %d, %q, %q", code, stdout.String(), stderr.String())
	}
}

// A run that fails says why, exits 1, writes no report and leaves no directory behind.
func TestFailedRunLeavesNothing(t *testing.T) {
	temp, out := t.TempDir(), filepath.Join(t.TempDir(), "latest.md")
	t.Setenv("TMPDIR", temp)
	var stdout, stderr strings.Builder
	code := bench(t.Context(), []string{"-short", "-proxy", "/nonexistent/proxy", "-out", out}, &stdout, &stderr)
	if code != 1 || !strings.HasPrefix(stderr.String(), "bench: prepare: /nonexistent/proxy") {
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
	code := bench(ctx, []string{"-only", "backlog", "-proxy", "true"}, &stdout, &stderr)
	if code != 1 || stderr.String() != "bench: interrupted; no report was written\n" {
		t.Errorf("exit %d, %q", code, stderr.String())
	}
}
