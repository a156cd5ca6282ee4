package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// connections is how many clients ask at a time.
const connections = 32

// wrkScript has wrk print its summary as numbers. It runs once, after the load.
const wrkScript = `function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("summary %d %d %d %d %d %d %d %d\n", summary.requests, summary.duration, summary.bytes,
    e.connect, e.read, e.write, e.timeout, e.status))
end
`

// load is what wrk has done.
type load struct {
	requests int64
	took     time.Duration
	bytes    int64 // received
	failed   int64 // connections, reads, writes and answers in time that didn't come about, and statuses above 399
}

// drive asks for url over and over, from one core.
func drive(ctx context.Context, script string, core int, url string, duration time.Duration) (load, error) {
	args := pinned(core, "wrk", "-t1", "-c", fmt.Sprint(connections), "-d", fmt.Sprintf("%ds", int(duration.Seconds())), "-s", script, url)
	cmd := exec.CommandContext(ctx, "taskset", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return load{}, fmt.Errorf("wrk: %w: %s", err, out)
	}
	return parseLoad(string(out))
}

func parseLoad(out string) (load, error) {
	var l load
	_, summary, found := strings.Cut(out, "summary ")
	if !found {
		return l, fmt.Errorf("wrk gave no summary: %q", out)
	}
	var microseconds int64
	var errors [5]int64
	_, err := fmt.Sscan(summary, &l.requests, &microseconds, &l.bytes, &errors[0], &errors[1], &errors[2], &errors[3], &errors[4])
	if err != nil {
		return l, fmt.Errorf("wrk's summary %q: %w", summary, err)
	}
	l.took = time.Duration(microseconds) * time.Microsecond
	for _, n := range errors {
		l.failed += n
	}
	return l, nil
}

// prove tells whether the load was what it was meant to be (M4): answers only, each with the whole body.
func (l load) prove(body int) error {
	switch {
	case l.requests == 0:
		return fmt.Errorf("no request was answered")
	case l.failed > 0:
		return fmt.Errorf("%d of %d requests failed", l.failed, l.requests)
	case l.bytes < l.requests*int64(body):
		return fmt.Errorf("%d answers hold %d bytes, less than bodies of %d", l.requests, l.bytes, body)
	}
	return nil
}
