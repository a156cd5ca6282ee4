package main

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"time"
)

// staleSettings say how staleness is looked for.
type staleSettings struct {
	keys       int     // rows that are read and written
	reads      float64 // a second, of each contestant
	writes     float64 // a second
	before     time.Duration
	span       time.Duration // that is counted
	strategies []strategy
}

// strategy is one way to keep a cache from being stale.
type strategy struct {
	name  string // of the contestant
	label string // behind it
	ttl   string
	purge bool // by a trigger
}

// strategies are all that are compared. nginx counts in whole seconds: there is no 0.1 s.
var strategies = []strategy{
	{name: nginx, label: "TTL 1 s", ttl: "1s"},
	{name: nginx, label: "TTL 10 s", ttl: "10s"},
	{name: nginx, label: "TTL 60 s", ttl: "60s"},
	{name: varnish, label: "TTL 0.1 s", ttl: "0.1s"},
	{name: varnish, label: "TTL 1 s", ttl: "1s"},
	{name: varnish, label: "TTL 10 s", ttl: "10s"},
	{name: varnish, label: "TTL 60 s", ttl: "60s"},
	{name: varnish, label: "purged by a trigger", purge: true},
	{name: guarded},
}

// measureStaleness shows the same reads and writes to all strategies at the same time, and counts what is stale.
func measureStaleness(ctx context.Context, st *stage) (*result, error) {
	settings := staleSettings{keys: 1000, reads: 1000, writes: 100, before: 60 * time.Second, span: 60 * time.Second, strategies: strategies}
	if st.short {
		settings.reads, settings.before, settings.span = 300, 2*time.Second, 4*time.Second
	}
	ws, commits, err := st.watchStaleness(ctx, settings)
	if err != nil {
		return nil, err
	}
	return staleResult(ws, commits, settings), nil
}

func staleResult(ws []*witness, commits int64, s staleSettings) *result {
	t := table{
		title: "Staleness against origin load",
		head:  []string{"", "stale", "reached the origin", "responses", "stale ones", "age p50 ms", "age p99 ms", "oldest ms", "stale after settlement"},
		notes: []string{fmt.Sprintf("All at the same time, with the same reads and writes: %.0f reads a second each of %d rows (Zipf), %d commits in %s that change one row each, all rows alike; what came before, for %s, isn't counted. "+
			"A response is stale if a newer version of its row had been committed, and the writer knew it, before the request was sent; its age is the time since the commit that made it stale. "+
			"Each TTL is counted from the fill; nginx counts in whole seconds. The trigger notifies a listener that sends a PURGE for the URL. "+
			"Settled is what the proxy's own watermark had passed before the request was sent.", s.reads, s.keys, commits, s.span, s.before)},
	}
	r := &result{}
	for _, w := range ws {
		settled := "–"
		if w.name == guarded {
			settled = fmt.Sprint(w.settled)
			r.goals = append(r.goals, goal{what: "stale responses after settlement", ratio: float64(w.settled), limit: 0})
		}
		t.rows = append(t.rows, []string{
			w.String(), percent(w.shareStale()), percent(w.shareOrigin()), fmt.Sprint(w.reads), fmt.Sprint(w.stale),
			fmt.Sprintf("%.1f", milliseconds(w.ages.quantile(0.5))), fmt.Sprintf("%.1f", milliseconds(w.ages.quantile(0.99))),
			fmt.Sprintf("%.1f", milliseconds(w.ages.quantile(1))), settled,
		})
	}
	r.tables = []table{t}
	points := make([]point, len(ws))
	for i, w := range ws {
		points[i] = point{family: w.name, label: w.label, x: w.shareOrigin(), y: w.shareStale(), joined: w.ttl != ""}
		if w.name == guarded {
			points[i].note = fmt.Sprintf("none of %s stale", thousands(float64(w.reads)))
		}
		if w.name == guarded && w.stale > 0 {
			points[i].note = fmt.Sprintf("%s of %s stale, none for longer than %.0f ms; %s once settled",
				thousands(float64(w.stale)), thousands(float64(w.reads)), math.Ceil(milliseconds(w.ages.quantile(1))), thousands(float64(w.settled)))
		}
	}
	s.writes = float64(commits) / s.span.Seconds() // what came about, not what was wanted
	r.pictures = map[string]string{"staleness.svg": scatter(points, s)}
	return r
}

// percent shows small shares too.
func percent(share float64) string {
	switch p := 100 * share; {
	case p == 0:
		return "0 %"
	case p < 0.1:
		return strconv.FormatFloat(p, 'f', 4, 64) + " %"
	default:
		return strconv.FormatFloat(p, 'f', 2, 64) + " %"
	}
}
