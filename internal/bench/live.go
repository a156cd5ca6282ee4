package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// liveHeap watches a proxy while its cache fills, and finds what an entry takes of its heap. The resident set can't tell:
// the collector lets garbage grow to as much as is in use. So each time it has run, what it found in use goes with the number
// of entries then.
type liveHeap struct {
	mu    sync.Mutex
	pairs []livePair
	err   error
}

// livePair is what was in use, and how many entries were stored by then.
type livePair struct{ bytes, entries float64 }

const (
	liveMetric    = "go_gc_heap_live_bytes"
	entriesMetric = "walpurge_memory_entries"
	livePause     = 100 * time.Millisecond
)

// watch asks the proxy until ctx ends.
func (l *liveHeap) watch(ctx context.Context, admin string) {
	for ctx.Err() == nil {
		p, err := readLive(ctx, admin)
		if ctx.Err() != nil {
			return
		}
		l.mu.Lock()
		l.err = err
		if n := len(l.pairs); err == nil && (n == 0 || l.pairs[n-1].bytes != p.bytes) {
			l.pairs = append(l.pairs, p)
		}
		l.mu.Unlock()
		_ = wait(ctx, livePause) // the loop's condition tells if ctx has ended
	}
}

// perEntry is the slope from the first time that the collector has run during the watch to the last.
func (l *liveHeap) perEntry() (float64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return 0, l.err
	}
	if len(l.pairs) < 3 { // the first may be of long before
		return 0, fmt.Errorf("the proxy's collector has run %d times while the cache filled: too seldom to tell what an entry takes", max(0, len(l.pairs)-1))
	}
	first, last := l.pairs[1], l.pairs[len(l.pairs)-1]
	if last.entries <= first.entries {
		return 0, errors.New("the proxy's cache has not grown")
	}
	return (last.bytes - first.bytes) / (last.entries - first.entries), nil
}

func readLive(ctx context.Context, admin string) (livePair, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/metrics", nil)
	if err != nil {
		return livePair{}, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return livePair{}, fmt.Errorf("read the proxy's metrics: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	found := map[string]float64{}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if name == liveMetric || name == entriesMetric {
			if found[name], err = strconv.ParseFloat(value, 64); err != nil {
				return livePair{}, fmt.Errorf("read the proxy's metrics: %w", err)
			}
		}
	}
	if err := lines.Err(); err != nil {
		return livePair{}, fmt.Errorf("read the proxy's metrics: %w", err)
	}
	if len(found) != 2 {
		return livePair{}, fmt.Errorf("the proxy's metrics lack %s or %s", liveMetric, entriesMetric)
	}
	return livePair{found[liveMetric], found[entriesMetric]}, nil
}

// ownBytes is how many bytes an entry has of its own: its URL, and its response as a client gets it, without what is made
// anew for each answer.
func ownBytes(address, path string) (int, error) {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return 0, fmt.Errorf("ask for %s: %w", path, err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return 0, fmt.Errorf("ask for %s: %w", path, err)
	}
	if _, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n"); err != nil {
		return 0, fmt.Errorf("ask for %s: %w", path, err)
	}
	response, err := io.ReadAll(conn)
	if err != nil {
		return 0, fmt.Errorf("ask for %s: %w", path, err)
	}
	head, body, whole := bytes.Cut(response, []byte("\r\n\r\n"))
	if !whole || !bytes.HasPrefix(head, []byte("HTTP/1.1 200 ")) {
		return 0, fmt.Errorf("ask for %s: the answer is %.60q", path, response)
	}
	n := len("http://"+host+path) + len(body)
	for line := range bytes.SplitSeq(head, []byte("\r\n")) {
		switch name, _, _ := strings.Cut(string(line), ":"); name {
		case "Age", "Cache-Status", "Connection", "X-Varnish":
		default:
			n += len(line) + 2
		}
	}
	return n, nil
}
