package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// The resident set can't tell what entries take of a proxy's heap: the
// collector lets garbage grow to as much as is in use. So the proxy is made to
// collect, and says what it found in use.

// held is what was in use, and how many entries were stored.
type held struct{ bytes, entries float64 }

const (
	liveMetric    = "go_gc_heap_live_bytes"
	entriesMetric = "walpurge_memory_entries"
)

// hold has the proxy collect what isn't in use any more, and asks what is.
func hold(ctx context.Context, admin string) (held, error) {
	for range 2 { // what was made while the first one ran counts as in use
		body, err := fetchAdmin(ctx, admin, "/debug/pprof/heap?gc=1")
		if err != nil {
			return held{}, fmt.Errorf("have the proxy collect: %w", err)
		}
		_, err = io.Copy(io.Discard, body)
		_ = body.Close()
		if err != nil {
			return held{}, fmt.Errorf("have the proxy collect: %w", err)
		}
	}
	body, err := fetchAdmin(ctx, admin, "/metrics")
	if err != nil {
		return held{}, fmt.Errorf("read the proxy's metrics: %w", err)
	}
	defer func() { _ = body.Close() }()
	found := map[string]float64{}
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if name == liveMetric || name == entriesMetric {
			if found[name], err = strconv.ParseFloat(value, 64); err != nil {
				return held{}, fmt.Errorf("read the proxy's metrics: %w", err)
			}
		}
	}
	if err := lines.Err(); err != nil {
		return held{}, fmt.Errorf("read the proxy's metrics: %w", err)
	}
	if len(found) != 2 {
		return held{}, fmt.Errorf("the proxy's metrics lack %s or %s", liveMetric, entriesMetric)
	}
	return held{found[liveMetric], found[entriesMetric]}, nil
}

// since is what each entry takes that was stored after before.
func (h held) since(before held) (float64, error) {
	if h.entries <= before.entries {
		return 0, fmt.Errorf("the proxy's cache has not grown: %.0f entries before, %.0f now", before.entries, h.entries)
	}
	return (h.bytes - before.bytes) / (h.entries - before.entries), nil
}

func fetchAdmin(ctx context.Context, admin, path string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("%s says %s", path, resp.Status)
	}
	return resp.Body, nil
}
