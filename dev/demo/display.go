package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// window is how much of the past the live line's percentiles cover.
const window = 10 * time.Second

// moment is what one live line is made from.
type moment struct {
	sample
	requests, hits int64
	audited, stale int64
}

// display prints a line a second. On a terminal the line is drawn over the last one; elsewhere it is a new one.
type display struct {
	out     io.Writer
	redraw  bool
	start   time.Time
	history []moment // of the last window, oldest first, plus one
	lines   int
	drawn   bool // an unfinished line stands on the terminal
}

func newDisplay(out io.Writer) *display {
	d := &display{out: out, start: time.Now()}
	if file, ok := out.(*os.File); ok {
		// A line that is too long for the terminal would be broken, and couldn't be drawn over.
		size, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ)
		d.redraw = err == nil && int(size.Col) > utf8.RuneCountInString(columns)
	}
	return d
}

// columns are the live line's headings; the widths are those of line's values.
const columns = "   time  requests/s   hits  changes/s  purged/s  commit to purge p50     p99   behind  audited  stale"

// headEvery is after how many lines the headings come again where lines aren't drawn over.
const headEvery = 30

// show prints the line for m. The first moment has nothing to be compared with and gives no line.
func (d *display) show(m moment) {
	d.history = append(d.history, m)
	if len(d.history) == 1 {
		return
	}
	if d.lines%headEvery == 0 && (!d.redraw || d.lines == 0) {
		d.print(columns + "\n")
	}
	d.lines++
	for len(d.history) > 2 && m.at.Sub(d.history[1].at) >= window {
		d.history = d.history[1:]
	}
	if line := d.line(); d.redraw {
		d.print("\r" + line + "\x1b[K")
		d.drawn = true
	} else {
		d.print(line + "\n")
	}
}

// line compares the newest moment with the one before it, and percentiles with the oldest.
func (d *display) line() string {
	now, last, oldest := d.history[len(d.history)-1], d.history[len(d.history)-2], d.history[0]
	seconds := now.at.Sub(last.at).Seconds()
	rate := func(now, last float64) float64 {
		if seconds <= 0 {
			return 0
		}
		return (now - last) / seconds
	}
	recent := now.purge.since(oldest.purge)
	return fmt.Sprintf("%7s  %10.0f  %5s  %9.0f  %8.0f  %19s  %6s  %7s  %7d  %5d",
		clock(now.at.Sub(d.start)),
		rate(float64(now.requests), float64(last.requests)),
		percent(now.hits-last.hits, now.requests-last.requests),
		rate(now.changes, last.changes), rate(now.purged, last.purged),
		seconds3(recent.quantile(0.5)), seconds3(recent.quantile(0.99)), seconds3(now.behind),
		now.audited, now.stale)
}

// end finishes a line that is being redrawn.
func (d *display) end() {
	if d.drawn {
		d.print("\n")
		d.drawn = false
	}
}

// print drops what can't be written: whoever closed the output doesn't read it.
func (d *display) print(text string) { _, _ = io.WriteString(d.out, text) }

func clock(d time.Duration) string {
	s := int(d.Round(time.Second).Seconds())
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

func percent(part, whole int64) string {
	if whole == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f%%", 100*float64(part)/float64(whole))
}

// seconds3 writes a number of seconds with three digits, such as 1.23ms.
func seconds3(s float64) string {
	switch {
	case math.IsNaN(s):
		return "–"
	case s < 0.0009995:
		return fmt.Sprintf("%.0fµs", s*1e6)
	case s < 0.9995:
		return digits3(s*1e3) + "ms"
	}
	return digits3(s) + "s"
}

func digits3(v float64) string {
	switch {
	case v >= 99.95:
		return fmt.Sprintf("%.0f", v)
	case v >= 9.995:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
