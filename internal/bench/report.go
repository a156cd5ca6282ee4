package bench

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

// The goals, as ratios.
const (
	hitGoal     = 1.0 // of HAProxy's CPU for a hit, at most
	backlogGoal = 0.8 // of pg_recvlogical's speed, at least
)

// report is a run's outcome.
type report struct {
	machine machine
	short   bool
	began   time.Time
	took    time.Duration
	http    []httpResult   // nil: not measured
	log     *backlogResult // nil: not measured
}

// table is a heading, its rows and what to say below.
type table struct {
	title string
	head  []string
	rows  [][]string
	notes []string
}

// cpuOf is a contestant's median, 0 if it isn't there.
func (r *report) cpuOf(name string) float64 {
	for _, h := range r.http {
		if h.name == name {
			return h.cpu.median()
		}
	}
	return 0
}

func (r *report) hits() table {
	t := table{
		title: "CPU of a cache hit",
		head:  []string{"", "µs a hit", "smallest … largest", "of HAProxy", "of the floor", "requests/s", "core busy", "hits", "reached the origin"},
		notes: []string{fmt.Sprintf("2 KiB bodies, %d connections, the server on one core, medians of %d alternating rounds; "+
			"user and system time of the whole process group.", connections, len(r.http[0].cpu))},
	}
	peer, floor := r.cpuOf(haproxy), r.cpuOf(bottom)
	for _, h := range r.http {
		t.rows = append(t.rows, []string{
			h.name,
			fmt.Sprintf("%.2f", h.cpu.median()), h.cpu.span("%.2f"),
			fmt.Sprintf("%.2f", h.cpu.median()/peer), fmt.Sprintf("%.2f", h.cpu.median()/floor),
			fmt.Sprintf("%.0f", h.rate.median()), fmt.Sprintf("%.0f%%", 100*h.busy.median()),
			fmt.Sprint(h.requests), fmt.Sprint(h.origin),
		})
	}
	ratio := r.cpuOf(guarded) / peer
	t.notes = append(t.notes, fmt.Sprintf("goal: %s at %.2f of HAProxy or less; it is %.2f, %s.", guarded, hitGoal, ratio, verdict(ratio <= hitGoal)))
	return t
}

func (r *report) backlog() table {
	s := r.log.settings
	changes := float64(s.changes)
	row := func(name string, seconds series) []string {
		return []string{
			name,
			fmt.Sprintf("%.3f", seconds.median()), seconds.span("%.3f"),
			fmt.Sprintf("%.0f", changes/seconds.median()), fmt.Sprintf("%.2f", r.log.theirs.median()/seconds.median()),
		}
	}
	ratio := r.log.theirs.median() / r.log.ours.median()
	return table{
		title: "Working off a backlog",
		head:  []string{"", "seconds", "smallest … largest", "changes/s", "of its speed"},
		rows:  [][]string{row("listener and guard", r.log.ours), row("pg_recvlogical to /dev/null", r.log.theirs)},
		notes: []string{
			fmt.Sprintf("%d changed rows in transactions of %d, %d cached responses each of which one of them drops, medians of %d alternating rounds; to connect included.",
				s.changes, perTransaction, s.cached, len(r.log.ours)),
			fmt.Sprintf("goal: the listener at %.2f of the speed of pg_recvlogical or more; it is %.2f, %s.", backlogGoal, ratio, verdict(ratio >= backlogGoal)),
		},
	}
}

func verdict(met bool) string {
	if met {
		return "met"
	}
	return "not met"
}

func (r *report) tables() (list []table) {
	if len(r.http) > 0 {
		list = append(list, r.hits())
	}
	if r.log != nil {
		list = append(list, r.backlog())
	}
	return list
}

// about says when, where and with what.
func (r *report) about() []string {
	m := r.machine
	versions := make([]string, len(m.versions))
	for i, v := range m.versions {
		versions[i] = v[0] + " " + v[1]
	}
	about := []string{
		fmt.Sprintf("measured: %s, in %s", r.began.UTC().Format("2006-01-02 15:04 UTC"), r.took.Round(time.Second)),
		fmt.Sprintf("machine: %s, %d cores, Linux %s", m.cpu, m.cores, m.kernel),
		"versions: " + strings.Join(versions, ", "),
	}
	if m.revision != "" {
		about = append(about, "revision: "+m.revision)
	}
	if r.short {
		about = append(about, "a short trial: these numbers are not to be relied on")
	}
	return about
}

// text is the report for a terminal.
func (r *report) text() string {
	var b strings.Builder
	for _, t := range r.tables() {
		fmt.Fprintf(&b, "%s\n\n", t.title)
		w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
		for _, row := range append([][]string{t.head}, t.rows...) {
			fmt.Fprintln(w, "  "+strings.Join(row, "\t"))
		}
		_ = w.Flush() // a strings.Builder takes everything
		fmt.Fprintf(&b, "\n%s\n", lines(t.notes...))
	}
	return b.String() + lines(r.about()...)
}

// markdown is the report for the repository.
func (r *report) markdown() string {
	var b strings.Builder
	b.WriteString("# Benchmarks\n\nWritten by `make bench`. The ratios are what counts: each is of one run on one machine, in which the contestants took\n" +
		"turns. How it is measured stands in the documentation of package `internal/bench`.\n")
	for _, t := range r.tables() {
		fmt.Fprintf(&b, "\n## %s\n\n", t.title)
		line := func(cells []string) { b.WriteString("| " + strings.Join(cells, " | ") + " |\n") }
		line(t.head)
		rule := make([]string, len(t.head))
		for i := range rule {
			rule[i] = "---:"
		}
		rule[0] = "---"
		line(rule)
		for _, row := range t.rows {
			line(row)
		}
		for _, note := range t.notes {
			fmt.Fprintf(&b, "\n%s%s\n", strings.ToUpper(note[:1]), note[1:])
		}
	}
	b.WriteString("\n## Where\n\n")
	for _, line := range r.about() {
		fmt.Fprintf(&b, "- %s\n", line)
	}
	return b.String()
}
