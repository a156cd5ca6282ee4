package sidecar

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"walpurge/config"
)

// What drives the terminal: its other screen, and the cursor.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
	restOfLine  = "\x1b[K"
	restBelow   = "\x1b[J"
)

// watchStatus shows the report again and again until ctx ends. A proxy that
// doesn't answer meanwhile is waited for: it may be being restarted.
func watchStatus(ctx context.Context, c *command, a *adminClient) error {
	colours := newPalette(c.stdout)
	last, err := a.report(ctx)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(c.stdout, enterScreen); err != nil {
		return err
	}
	defer func() { _, _ = io.WriteString(c.stdout, leaveScreen) }()
	tick := time.NewTicker(c.status.every)
	defer tick.Stop()
	var before *reported
	for text := last.text(colours, nil); ; {
		screen := fit(c, text+colours.faint("\nCtrl-C ends")+"\n")
		if _, err := io.WriteString(c.stdout, home+strings.ReplaceAll(screen, "\n", restOfLine+"\n")+restBelow); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		next, err := a.report(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			text = last.text(colours, before) + "\n" + colours.bad(err.Error()) + "\n"
			continue
		}
		before, last = last, next
		text = last.text(colours, before)
	}
}

// fit cuts the text to the terminal's height.
func fit(c *command, text string) string {
	_, height, err := term.GetSize(int(terminal(c.stdout).Fd()))
	if err != nil || height < 2 {
		return text
	}
	lines := strings.SplitAfter(text, "\n")
	return strings.Join(lines[:min(len(lines), height-1)], "")
}

// topRoutes is how many routes the text lists.
const topRoutes = 10

// text is the report for people. before, if not nil, is an earlier one that
// rates are worked out from.
func (r *reported) text(colours palette, before *reported) string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%s %s\n", colours.bold(fmt.Sprintf("%-10s", name)), fmt.Sprintf(format, args...))
	}
	f := &r.now
	state := colours.good("ready")
	if !f.Ready {
		state = colours.odd(f.Readiness)
	}
	line("walpurge", "%s at %s, up %s: %s", f.Version, r.Admin, f.Uptime, state)
	line("origin", "%s, %d client connections, %d fills on their way", f.Origin, f.Connections, f.Fills)
	line("memory", "%s of %s, %d responses", bytesText(f.Memory.Bytes), bytesText(f.Memory.Limit), f.Memory.Entries)
	if f.Redis != nil {
		reach := colours.good("reachable")
		if !f.Redis.Reachable {
			reach = colours.bad("left alone for a while: it does not answer")
		}
		line("redis", "%s, %s written", reach, bytesText(f.Redis.Written))
		for _, server := range f.Redis.Servers {
			limit := ""
			if server.Limit > 0 {
				limit = " of " + bytesText(server.Limit)
			}
			line("", "%s uses %s%s for all of its %d keys", server.Node, bytesText(server.Used), limit, server.Keys)
		}
	}
	if d := f.Database; d != nil {
		behind := colours.bad("no proof of freshness")
		if f.Guard != nil && f.Guard.Behind != nil {
			behind = fmt.Sprintf("%.0f ms behind", *f.Guard.Behind*1000)
		}
		line("database", "%s, %s, %s, %d pending", d.Role, d.State, behind, d.Pending)
		if d.RetainedBytes >= 0 {
			line("slot", "%s keeps %s of WAL", d.Slot, bytesText(d.RetainedBytes))
		}
		if d.WaitingFor != "" {
			line("", "%s", colours.odd("waiting for "+d.WaitingFor))
		}
		if d.LastError != "" && !d.Connected && d.Role != "follower" {
			line("", "%s", colours.bad(d.LastError))
		}
	}
	line("changes", "%s rows, %s responses purged%s", count(r.Changes), count(r.Purged), rate(before, r, func(r *reported) float64 { return r.Changes }))
	if stale := r.Audit["stale"]; stale > 0 {
		line("audit", "%s", colours.bad(count(stale)+" hits were stale: see the log"))
	}
	total := func(r *reported) (n float64) {
		for _, v := range r.Requests {
			n += v
		}
		return n
	}
	hits := ""
	if r.HitRatio != nil {
		hits = fmt.Sprintf(", %.1f %% from the cache", *r.HitRatio*100)
	}
	line("requests", "%s%s%s", count(total(r)), hits, rate(before, r, total))
	for _, outcome := range byCount(r.Requests) {
		line("  "+outcome, "%s%s", count(r.Requests[outcome]), rate(before, r, func(r *reported) float64 { return r.Requests[outcome] }))
	}
	if len(r.Routes) > 0 {
		line("routes", "")
	}
	for i, route := range byCount(r.Routes) {
		if i == topRoutes {
			fmt.Fprintf(&b, "  and %d more\n", len(r.Routes)-topRoutes)
			break
		}
		fmt.Fprintf(&b, "  %12s%s  %s\n", count(r.Routes[route]), rate(before, r, func(r *reported) float64 { return r.Routes[route] }), route)
	}
	return b.String()
}

// byCount lists the names, the highest count first.
func byCount(counts map[string]float64) []string {
	return slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), strings.Compare(a, b))
	})
}

// rate is how fast a counter rises, in words; empty without an earlier report.
// One that has fallen belongs to another process.
func rate(before, now *reported, of func(*reported) float64) string {
	if before == nil {
		return ""
	}
	seconds := now.At.Sub(before.At).Seconds()
	if more := of(now) - of(before); seconds > 0 && more >= 0 {
		return fmt.Sprintf(", %s/s", count(math.Round(more/seconds)))
	}
	return ""
}

// count writes a number with its thousands apart.
func count(n float64) string {
	digits := fmt.Sprintf("%.0f", n)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// bytesText is a size to three digits.
func bytesText(n int64) string {
	for _, u := range []struct {
		size config.Size
		name string
	}{{config.TiB, "TiB"}, {config.GiB, "GiB"}, {config.MiB, "MiB"}, {config.KiB, "KiB"}} {
		if n >= int64(u.size) {
			return fmt.Sprintf("%.3g %s", float64(n)/float64(u.size), u.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}
