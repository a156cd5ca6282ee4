package main

import (
	"context"
	"fmt"
	"time"
)

// trial is one case and who takes part in it.
type trial struct {
	label       string
	names       []string
	size        int // of the page
	connections int
	adjust      func(*site)                                         // nil: nothing
	fill        func(context.Context, *server, *generator) error    // before it is measured; nil: nothing
	plan        func(s *server, size int, span time.Duration) *plan // nil: the page 1 over and over
}

// tried is what a contestant has shown in a trial.
type tried struct {
	cpu, rate series
}

// try has everybody take turns at every case, in new processes (M1, M5), and returns what they have shown, by case and name.
func (st *stage) try(ctx context.Context, trials []trial, rounds int, span time.Duration) (map[string]map[string]*tried, error) {
	defer st.origin.resize(pageSize)
	found := map[string]map[string]*tried{}
	for round := range rounds {
		for _, t := range trials {
			st.origin.resize(t.size)
			if found[t.label] == nil {
				found[t.label] = map[string]*tried{}
			}
			for _, i := range turns(len(t.names), round) {
				name := t.names[i]
				f := found[t.label][name]
				if f == nil {
					f = &tried{}
					found[t.label][name] = f
				}
				attempt := func() error {
					return st.with(ctx, name, t.connections, t.adjust, func(s *server, g *generator) error { return st.attempt(ctx, s, g, t, span, f) })
				}
				err := attempt()
				if dropped(err) && name != guarded { // some servers do that to one of many connections
					st.say("%s: once more, since %v", t.label, err)
					err = attempt()
				}
				if dropped(err) && name != guarded {
					st.say("%s: not this round: %v", t.label, err)
					continue
				}
				if err != nil {
					return nil, fmt.Errorf("%s: %w", t.label, err)
				}
				st.say("round %d of %d, %s: %-16s %7.2f µs a request at %7.0f/s", round+1, rounds, t.label, name, f.cpu[len(f.cpu)-1], f.rate[len(f.rate)-1])
			}
		}
	}
	return found, nil
}

func (st *stage) attempt(ctx context.Context, s *server, g *generator, t trial, span time.Duration, f *tried) error {
	if t.fill != nil {
		if err := t.fill(ctx, s, g); err != nil {
			return fmt.Errorf("%s: fill the cache: %w", s.contestant.name, err)
		}
	}
	make := t.plan
	if make == nil {
		make = (*server).hits
	}
	if _, err := st.load(ctx, s, g, lenient(make(s, t.size, span/5))); err != nil {
		return err
	}
	r, err := st.measure(ctx, s, g, make(s, t.size, span))
	if err != nil {
		return err
	}
	f.cpu, f.rate = append(f.cpu, r.perRequest()), append(f.rate, r.perSecond())
	return nil
}

// compared is a table of trials: ours beside everybody else, the ratio of CPU first.
func compared(title string, trials []trial, found map[string]map[string]*tried, notes ...string) table {
	t := table{title: title, head: []string{"", "", "CPU: ours / this", "µs a request", "smallest … largest", "requests/s"}, notes: notes}
	for _, trial := range trials {
		ours := found[trial.label][guarded]
		for _, name := range trial.names {
			f := found[trial.label][name]
			if len(f.cpu) == 0 {
				t.rows = append(t.rows, []string{trial.label, name, "", "", "it dropped connections in every round", ""})
				continue
			}
			t.rows = append(t.rows, []string{
				trial.label, name, number(ours.cpu.median() / f.cpu.median()),
				fmt.Sprintf("%.2f", f.cpu.median()), f.cpu.span("%.2f"), fmt.Sprintf("%.0f", f.rate.median()),
			})
		}
	}
	return t
}
