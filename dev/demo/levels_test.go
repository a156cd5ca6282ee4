package main

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

func TestQuantile(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	for _, test := range []struct {
		of   []time.Duration
		q    float64
		want time.Duration
	}{
		{nil, 0.5, 0},
		{hundred[:1], 0.99, 1},
		{hundred[:2], 0.5, 1},
		{hundred[:3], 0.5, 2},
		{hundred, 0.99, 99},
		{hundred, 1, 100},
	} {
		if got := quantile(test.of, test.q); got != test.want {
			t.Errorf("%v of %d values: %d, want %d", test.q, len(test.of), got, test.want)
		}
	}
}

func TestLevelsPrintsATableOfAllFour(t *testing.T) {
	cmd := exec.Command(filepath.Join(programs(t), "demo"), "levels")
	cmd.Dir = t.TempDir()
	cmd.Env = append(cmd.Environ(), "DEMO_LISTINGS=2000", "DEMO_RATE=200", "DEMO_FOR=1500ms")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	for _, name := range []string{"no cache", "query cache", "proxy", "both"} {
		row := regexp.MustCompile(`(?m)^\| ` + name + ` \| [1-9]\d* \| [\d.]+ ms \| [\d.]+ ms \| [1-9]\d* \| [\d.]+ \| 0 of [1-9]\d* \|$`)
		if !row.Match(stdout.Bytes()) {
			t.Errorf("no row of %q in\n%s", name, &stdout)
		}
	}
}
