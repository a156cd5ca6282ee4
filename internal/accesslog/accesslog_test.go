package accesslog

import (
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"walpurge/internal/http1"
)

func counterValue(t *testing.T, c prometheus.Counter) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

func readLog(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// soon waits for a condition.
func soon(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("waited for 10 s: %s", what)
		case <-tick.C:
		}
	}
}

// accessExchange is a request whose fields want escaping.
func accessExchange(t testing.TB) *http1.Exchange {
	t.Helper()
	req, err := http1.NewRequest([]byte("GET /a?token=s%22 HTTP/1.1\r\nHost: h\r\nReferer: http://r/?secret=1\r\nUser-Agent: a\"b\\\xff\r\n\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	ex := &http1.Exchange{Request: req}
	ex.Note.Route, ex.Note.Outcome = "/a", "hit"
	return ex
}

func TestAccessLogIsWrittenAndReopened(t *testing.T) {
	file := filepath.Join(t.TempDir(), "access.log")
	a, err := Open(file, false, true, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ex := accessExchange(t)
	a.Note(ex, 0)
	line := regexp.MustCompile(`^unix - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "GET /a\?token=s%22 HTTP/1\.1" 0 0 "http://r/\?secret=1" "a\\x22b\\x5c\\xff"\n$`)
	soon(t, "the line", func() bool { return line.MatchString(readLog(t, file)) })
	if err := os.Rename(file, file+".1"); err != nil {
		t.Fatal(err)
	}
	a.Reopen()
	soon(t, "a new file", func() bool { _, err := os.Stat(file); return err == nil })
	a.Note(ex, 0)
	a.Close()
	if !line.MatchString(readLog(t, file)) || !line.MatchString(readLog(t, file+".1")) {
		t.Errorf("old: %q, new: %q", readLog(t, file+".1"), readLog(t, file))
	}
}

func TestAccessLogInJSONWithoutQueries(t *testing.T) {
	file := filepath.Join(t.TempDir(), "access.log")
	a, err := Open(file, true, false, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	a.Note(accessExchange(t), 1500)
	a.Close()
	text := readLog(t, file)
	var line map[string]any
	if err := json.Unmarshal([]byte(text), &line); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	for key, want := range map[string]any{
		"target": "/a", "referer": "http://r/", "user_agent": "a\"b\\\uFFFD", "route": "/a", "outcome": "hit", "method": "GET", "host": "h", "seconds": 0.000002,
	} {
		if line[key] != want {
			t.Errorf("%s is %v, want %v", key, line[key], want)
		}
	}
	if strings.Contains(text, "secret") || strings.Contains(text, "token") {
		t.Errorf("a query is in %s", text)
	}
}

// stuck is a file that takes nothing until it is released, and then fails.
type stuck chan bool

func (s stuck) Write([]byte) (int, error) { <-s; return 0, errors.New("no space left") }
func (s stuck) Close() error              { return nil }

// TestAccessLogNeverWaits: what a slow file has no room for is dropped and
// counted, every line of it.
func TestAccessLogNeverWaits(t *testing.T) {
	out := make(stuck)
	a, err := Open(filepath.Join(t.TempDir(), "access.log"), false, true, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	a.Close()
	a.out, a.stop, a.done = out, make(chan struct{}), make(chan struct{})
	go a.run()
	ex := accessExchange(t)
	const lines = 20_000
	for range lines {
		a.Note(ex, 0)
	}
	close(out)
	a.Close()
	if got := counterValue(t, a.Dropped); got != lines {
		t.Errorf("%v lines are counted as dropped, want %d", got, lines)
	}
}

func BenchmarkAccessLog(b *testing.B) {
	for _, asJSON := range []bool{false, true} {
		b.Run(map[bool]string{false: "combined", true: "json"}[asJSON], func(b *testing.B) {
			a := &Log{json: asJSON, query: true, shards: make([]shard, 1), wake: make(chan struct{}, 1)}
			ex := accessExchange(b)
			b.ReportAllocs()
			for b.Loop() {
				a.Note(ex, 0)
				if s := &a.shards[0]; len(s.mu.buf) > accessWake { // as the writer does
					s.mu.buf = s.mu.buf[:0]
				}
			}
		})
	}
}
