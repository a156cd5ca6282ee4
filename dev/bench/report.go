package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// goal is a ratio that the project wants to reach.
type goal struct {
	what    string // what is divided by what
	ratio   float64
	limit   float64
	atLeast bool // the ratio should be the limit or more, not the limit or less
}

func (g goal) met() bool {
	if g.atLeast {
		return g.ratio >= g.limit
	}
	return g.ratio <= g.limit
}

func (g goal) row() []string {
	sense, verdict := "at most", "not met"
	if g.atLeast {
		sense = "at least"
	}
	if g.met() {
		verdict = "met"
	}
	return []string{g.what, number(g.ratio), sense + " " + number(g.limit), verdict}
}

// number has two digits behind the point where that says something.
func number(x float64) string {
	if x == float64(int64(x)) && (x == 0 || x >= 100) {
		return fmt.Sprintf("%.0f", x)
	}
	return fmt.Sprintf("%.2f", x)
}

// table is a heading, its rows and what to say below.
type table struct {
	title string
	head  []string
	rows  [][]string
	notes []string
}

// result is what a part has found.
type result struct {
	tables   []table
	goals    []goal
	pictures map[string]string // file name → SVG; shown behind the tables
}

// report is a run's outcome.
type report struct {
	machine machine
	short   bool
	began   time.Time
	took    time.Duration
	results []*result

	failures []error // of parts that could not be measured
}

// goals come first: the ratios are what counts.
func (r *report) goals() table {
	t := table{title: "Goals", head: []string{"ratio", "is", "goal", ""}}
	met := 0
	for _, result := range r.results {
		for _, g := range result.goals {
			t.rows = append(t.rows, g.row())
			if g.met() {
				met++
			}
		}
	}
	t.notes = []string{fmt.Sprintf("%d of %d goals met.", met, len(t.rows))}
	return t
}

// unmeasured lists what failed.
func (r *report) unmeasured() table {
	t := table{title: "Not measured", head: []string{"reason"}}
	for _, err := range r.failures {
		t.rows = append(t.rows, []string{strings.Join(strings.Fields(err.Error()), " ")})
	}
	return t
}

func (r *report) tables() (list []table) {
	if len(r.failures) > 0 {
		list = append(list, r.unmeasured())
	}
	if goals := r.goals(); len(goals.rows) > 0 {
		list = append(list, goals)
	}
	for _, result := range r.results {
		list = append(list, result.tables...)
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
		"turns. How it is measured stands in the documentation of package `dev/bench`.\n")
	for _, t := range r.tables() {
		t.markdown(&b)
	}
	for _, result := range r.results {
		for _, name := range slices.Sorted(maps.Keys(result.pictures)) {
			fmt.Fprintf(&b, "\n![%s](%s)\n", strings.TrimSuffix(name, ".svg"), name)
		}
	}
	b.WriteString("\n## Where\n\n")
	for _, line := range r.about() {
		fmt.Fprintf(&b, "- %s\n", line)
	}
	return b.String()
}

func (t *table) markdown(b *strings.Builder) {
	fmt.Fprintf(b, "\n## %s\n\n", t.title)
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
		fmt.Fprintf(b, "\n%s%s\n", strings.ToUpper(note[:1]), note[1:])
	}
}
