package main

import (
	"context"
	"fmt"
	"time"
)

// measureMisses asks for pages that nobody has asked for before, over a proxy that caches them and one that only passes them on.
func measureMisses(ctx context.Context, st *stage) (*result, error) {
	rounds, span := 3, 3*time.Second
	if st.short {
		rounds, span = 1, 600*time.Millisecond
	}
	const rate = 1000.0
	direct, passing, filling := "the origin alone", nginx+" as a plain proxy", guarded
	names := []string{direct, passing, filling}
	type waits struct{ p50, p99, cpu series }
	found := map[string]*waits{direct: {}, passing: {}, filling: {}}
	next := 10_000_000 // ids that no other part asks for
	for round := range rounds {
		for _, i := range turns(len(names), round) {
			name := names[i]
			ask := func(s *server, g *generator) error {
				first := next
				p := s.pages(pageSize, span, func(n int) int { return first + n })
				p.rate, p.polite, p.mark = rate, true, nil
				var r *reading
				var err error
				if name == direct {
					var o *outcome
					if o, err = g.run(ctx, p); err == nil {
						r = &reading{outcome: o, origin: o.requests}
					}
				} else {
					r, err = st.load(ctx, s, g, p)
				}
				if err != nil {
					return err
				}
				next += int(r.requests)
				if r.origin != r.requests {
					return fmt.Errorf("%s: %d of %d requests reached the origin: they were no misses", name, r.origin, r.requests)
				}
				f := found[name]
				f.p50, f.p99 = append(f.p50, milliseconds(r.latencies.quantile(0.5))), append(f.p99, milliseconds(r.latencies.quantile(0.99)))
				f.cpu = append(f.cpu, r.perRequest())
				st.say("round %d of %d: %-22s p50 %.3f ms", round+1, rounds, name, f.p50[round])
				return nil
			}
			var err error
			switch name {
			case direct:
				err = st.alone(ctx, ask)
			case passing:
				err = st.with(ctx, nginx, connections, func(s *site) { s.Bypass = true }, ask)
			default:
				err = st.with(ctx, guarded, connections, nil, ask)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	base := found[direct].p50.median()
	t := table{
		title: "Misses",
		head:  []string{"", "p50 of nginx's", "added at p50, of nginx's", "p50 ms", "smallest … largest", "p99 ms", "µs of CPU"},
		notes: []string{fmt.Sprintf("%s requests a second, each for a page that nobody has asked for; medians of %d alternating rounds. What is added is the time beyond the origin's alone.", thousands(rate), rounds)},
	}
	for _, name := range names {
		f, added, cpu := found[name], "", ""
		if name != direct {
			added = number((f.p50.median() - base) / (found[passing].p50.median() - base))
			cpu = fmt.Sprintf("%.1f", f.cpu.median())
		}
		t.rows = append(t.rows, []string{
			name, number(f.p50.median() / found[passing].p50.median()), added, fmt.Sprintf("%.3f", f.p50.median()), f.p50.span("%.3f"), fmt.Sprintf("%.3f", f.p99.median()), cpu,
		})
	}
	return &result{tables: []table{t}, goals: []goal{{
		what: "p50 of a miss: ours / nginx as a plain proxy", ratio: found[filling].p50.median() / found[passing].p50.median(), limit: 1.2,
	}}}, nil
}

// alone has do ask the origin itself.
func (st *stage) alone(ctx context.Context, do func(*server, *generator) error) error {
	g, err := newGenerator(ctx, st.origin.address, connections)
	if err != nil {
		return err
	}
	defer func() { _ = g.close() }()
	return do(&server{contestant: &contestant{}, site: site{Listen: st.origin.address}}, g)
}
