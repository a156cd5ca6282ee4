// Package accesslog writes a line for each request: in the combined format, or
// as JSON. It knows requests as package http1 has them and nothing of caches;
// how a request ended it takes from the exchange's note.
package accesslog

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"walpurge/internal/coherence"
	"walpurge/internal/http1"
)

// Log notes down each request, a line each. Whoever serves a request
// appends its line to a buffer in memory and goes on; one goroutine writes the
// buffers to the file. What doesn't fit because the file is too slow, or
// can't be written, is dropped and counted.
type Log struct {
	file  string
	json  bool
	query bool
	log   *slog.Logger
	// Dropped counts the lines that could not be written.
	Dropped prometheus.Counter

	shards []shard
	next   atomic.Uint32
	wake   chan struct{}
	reopen chan struct{}
	stop   chan struct{}
	done   chan struct{}
	out    io.WriteCloser // of the goroutine that writes
}

// shard is one of the buffers. Several keep those who serve apart.
type shard struct {
	mu struct {
		sync.Mutex
		buf  []byte // whole lines
		lost int    // lines
	}
	_ [64]byte // no two of them in one cache line
}

// Bounds of the access log.
const (
	accessFull  = 256 << 10              // bytes in one buffer, beyond which lines are dropped
	accessWake  = 64 << 10               // bytes in one buffer that are worth a write
	accessPause = 200 * time.Millisecond // between two writes otherwise
)

// Open opens the file. asJSON chooses between JSON and the combined
// format; query keeps the queries of targets and referrers.
func Open(file string, asJSON, query bool, log *slog.Logger) (*Log, error) {
	a := &Log{
		file: file, json: asJSON, query: query, log: log, shards: make([]shard, runtime.GOMAXPROCS(0)),
		wake: make(chan struct{}, 1), reopen: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
		Dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "walpurge_access_log_dropped_total", Help: "Lines of the access log that could not be written.",
		}),
	}
	var err error
	if a.out, err = a.open(); err != nil {
		return nil, err
	}
	go a.run()
	return a, nil
}

func (a *Log) open() (*os.File, error) {
	f, err := os.OpenFile(a.file, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("open the access log: %w", err)
	}
	return f, nil
}

// Reopen opens the file anew: the one of that name has been moved away.
func (a *Log) Reopen() { poke(a.reopen) }

// Close writes what is left.
func (a *Log) Close() {
	close(a.stop)
	<-a.done
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (a *Log) run() {
	defer close(a.done)
	tick := time.NewTicker(accessPause)
	defer tick.Stop()
	var spare []byte
	for stopping, said := false, ""; !stopping; {
		again := false
		select {
		case <-a.stop:
			stopping = true
		case <-a.reopen:
			again = true
		case <-a.wake:
		case <-tick.C:
		}
		for i := range a.shards {
			s := &a.shards[i]
			s.mu.Lock()
			full, lost := s.mu.buf, s.mu.lost
			s.mu.buf, s.mu.lost = spare[:0], 0
			s.mu.Unlock()
			spare = full
			if len(full) > 0 {
				n, err := a.out.Write(full)
				if err != nil {
					lost += bytes.Count(full[n:], []byte{'\n'})
					if err.Error() != said {
						a.log.Error("the access log can't be written", "error", err)
					}
					said = err.Error()
				} else {
					said = ""
				}
			}
			a.Dropped.Add(float64(lost))
		}
		if again {
			next, err := a.open()
			if err != nil {
				a.log.Error("the access log goes on in the old file", "error", err)
				continue
			}
			_ = a.out.Close() // everything is written
			a.out = next
		}
	}
	_ = a.out.Close()
}

// Note appends the line of an exchange that has ended.
func (a *Log) Note(ex *http1.Exchange, took coherence.Nanos) {
	s := &a.shards[int(a.next.Add(1))%len(a.shards)]
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.mu.buf) > accessFull {
		s.mu.lost++
		return
	}
	if a.json {
		s.mu.buf = a.appendJSON(s.mu.buf, ex, now, time.Duration(took))
	} else {
		s.mu.buf = a.appendCombined(s.mu.buf, ex, now)
	}
	if len(s.mu.buf) > accessWake {
		poke(a.wake)
	}
}

// appendCombined writes the format of Apache httpd and nginx.
func (a *Log) appendCombined(b []byte, ex *http1.Exchange, now time.Time) []byte {
	b = appendClient(b, ex)
	b = append(b, " - - ["...)
	b = now.AppendFormat(b, "02/Jan/2006:15:04:05 -0700")
	b = append(b, `] "`...)
	b = appendQuoted(b, ex.Method)
	b = append(b, ' ')
	b = appendQuoted(b, a.shown(ex.Target))
	b = append(b, " HTTP/"...)
	b = append(b, ex.Protocol()...)
	b = append(b, `" `...)
	b = strconv.AppendInt(b, int64(ex.Status()), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, ex.Sent(), 10)
	for _, v := range [...][]byte{a.shown(http1.FieldOf(ex, "referer")), http1.FieldOf(ex, "user-agent")} {
		b = append(b, ` "`...)
		if len(v) == 0 {
			b = append(b, '-')
		}
		b = append(appendQuoted(b, v), '"')
	}
	return append(b, '\n')
}

func (a *Log) appendJSON(b []byte, ex *http1.Exchange, now time.Time, took time.Duration) []byte {
	b = append(b, `{"time":"`...)
	b = now.AppendFormat(b, "2006-01-02T15:04:05.000Z07:00")
	b = append(b, `","client":"`...)
	b = appendClient(b, ex)
	b = appendMember(b, `","method":"`, ex.Method)
	b = appendMember(b, `","host":"`, ex.Host)
	b = appendMember(b, `","target":"`, a.shown(ex.Target))
	b = append(b, `","status":`...)
	b = strconv.AppendInt(b, int64(ex.Status()), 10)
	b = append(b, `,"bytes":`...)
	b = strconv.AppendInt(b, ex.Sent(), 10)
	b = append(b, `,"seconds":`...)
	b = strconv.AppendFloat(b, took.Seconds(), 'f', 6, 64)
	b = append(b, `,"route":"`...)
	b = appendJSONText(b, []byte(ex.Note.Route))
	b = append(b, `","outcome":"`...)
	b = append(b, ex.Note.Outcome...)
	b = append(b, `","reason":"`...)
	b = append(b, ex.Note.Reason...)
	b = appendMember(b, `","referer":"`, a.shown(http1.FieldOf(ex, "referer")))
	b = appendMember(b, `","user_agent":"`, http1.FieldOf(ex, "user-agent"))
	b = appendMember(b, `","traceparent":"`, http1.FieldOf(ex, "traceparent"))
	return append(b, "\"}\n"...)
}

func appendMember(b []byte, name string, value []byte) []byte {
	return appendJSONText(append(b, name...), value)
}

// shown is a target or a referrer as it may be shown.
func (a *Log) shown(target []byte) []byte {
	if i := bytes.IndexByte(target, '?'); i >= 0 && !a.query {
		return target[:i]
	}
	return target
}

// appendClient appends the other end of the connection, which may be a proxy.
func appendClient(b []byte, ex *http1.Exchange) []byte {
	if tcp, ok := ex.RemoteAddr().(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().WithZone("").AppendTo(b)
	}
	return append(b, "unix"...)
}

const hexDigits = "0123456789abcdef"

// appendQuoted escapes what would end the quotes or the line.
func appendQuoted(b, text []byte) []byte {
	for _, c := range text {
		if c < 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			b = append(b, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
		} else {
			b = append(b, c)
		}
	}
	return b
}

// appendJSONText escapes text for a JSON string (RFC 8259 section 7). What
// isn't UTF-8 is replaced.
func appendJSONText(b, text []byte) []byte {
	for len(text) > 0 {
		c := text[0]
		switch {
		case c == '"' || c == '\\':
			b, text = append(b, '\\', c), text[1:]
		case c < 0x20 || c == 0x7f:
			b, text = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15]), text[1:]
		case c < utf8.RuneSelf:
			b, text = append(b, c), text[1:]
		default:
			r, n := utf8.DecodeRune(text)
			b, text = utf8.AppendRune(b, r), text[n:]
		}
	}
	return b
}
