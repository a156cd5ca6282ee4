package main

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"
)

// connections is how many clients ask at a time where nothing else is said.
const connections = 32

// contender holds one contestant's rounds.
type contender struct {
	name             string
	cpu, rate, busy  series
	requests, origin int64
	p50, p99, p999   map[pace]series // milliseconds
}

// pace is a constant rate to measure latency at.
type pace string

const (
	halfPace   pace = "50 % of its own saturation"
	nearPace   pace = "90 % of its own saturation"
	commonPace pace = "the same rate for all"
)

var paces = []pace{halfPace, nearPace, commonPace}

// add notes a load at full speed.
func (c *contender) add(r *reading) {
	c.cpu = append(c.cpu, r.perRequest())
	c.rate = append(c.rate, r.perSecond())
	c.busy = append(c.busy, r.cpu.Seconds()/r.took.Seconds())
	c.requests += r.requests
	c.origin += r.origin
}

// measureHits compares what a hit costs, how many there are a second, and how long they take.
func measureHits(ctx context.Context, st *stage) (*result, error) {
	names := []string{guarded, plain, haproxy, nginx, varnish, traffic, django, bottom}
	rounds, span := 7, 2500*time.Millisecond
	if st.short {
		rounds, span = 2, 400*time.Millisecond
	}
	cs, common, err := st.race(ctx, names, rounds, span)
	if err != nil {
		return nil, err
	}
	return hitsResult(cs, common, rounds), nil
}

// race has contestants take turns (M1). The first round finds the common rate; latency is measured in the rounds after it.
func (st *stage) race(ctx context.Context, names []string, rounds int, span time.Duration) (cs []*contender, common float64, err error) {
	st.origin.resize(pageSize)
	for _, name := range names {
		cs = append(cs, &contender{name: name, p50: map[pace]series{}, p99: map[pace]series{}, p999: map[pace]series{}})
	}
	for round := range rounds {
		for _, i := range turns(len(cs), round) {
			c := cs[i]
			err := st.beside(ctx, c.name, func() error {
				return st.with(ctx, c.name, connections, nil, func(s *server, g *generator) error { return st.lap(ctx, s, g, c, common, span) })
			})
			if err != nil {
				return nil, 0, err
			}
			st.say("round %d of %d: %-18s %7.2f µs a hit at %7.0f requests/s", round+1, rounds, c.name, c.cpu[round], c.rate[round])
		}
		if round == 0 {
			common = commonRate(cs)
		}
	}
	return cs, common, nil
}

// beside has the database at work for everybody as it is for the guarded proxy: it shares the core of the load generator,
// which would have that core for itself in the turns of all others. So in those a guarded proxy follows it, too, and is asked
// nothing.
func (st *stage) beside(ctx context.Context, name string, do func() error) error {
	if name == guarded {
		return do()
	}
	return st.with(ctx, guarded, 1, nil, func(*server, *generator) error { return do() })
}

// commonRate is half the saturation of the slowest of the servers that are caches for whole responses.
func commonRate(cs []*contender) float64 {
	slowest := math.Inf(1)
	for _, c := range cs {
		if c.name == guarded || slices.Contains(peers, c.name) {
			slowest = min(slowest, c.rate.median())
		}
	}
	return slowest / 2
}

// lap is one contestant's turn. Latency is not measured before there is a common rate.
func (st *stage) lap(ctx context.Context, s *server, g *generator, c *contender, common float64, span time.Duration) error {
	p := s.hits(pageSize, span/4)
	if _, err := st.load(ctx, s, g, lenient(p)); err != nil {
		return err
	}
	p.span = span
	full, err := st.measure(ctx, s, g, p)
	if err != nil {
		return err
	}
	c.add(full)
	if common == 0 || c.name == plain {
		return nil
	}
	own := full.perSecond()
	for at, rate := range map[pace]float64{halfPace: own / 2, nearPace: own * 0.9, commonPace: common} {
		if rate > own {
			continue // it can't
		}
		p.rate, p.span = rate, span*4/5
		tries, kept := 1, 1
		if at == commonPace {
			tries, kept, p.span = commonTries, commonKept, span*2/5
		}
		found := make([]*reading, tries)
		for i := range found {
			if found[i], err = st.measure(ctx, s, g, p); err != nil {
				return fmt.Errorf("at %s: %w", at, err)
			}
		}
		for _, r := range quietest(found, kept) {
			for q, into := range map[float64]map[pace]series{0.5: c.p50, 0.99: c.p99, 0.999: c.p999} {
				into[at] = append(into[at], milliseconds(r.latencies.quantile(q)))
			}
		}
	}
	return nil
}

// At the common rate latency is measured commonTries times in a turn, and commonKept of them count: those in which the load
// generator itself had to wait least for its core. What else runs on the machine takes that for some milliseconds at a time, a
// few times a second, which is more than one request in a hundred, and no server's doing.
const (
	commonTries = 8
	commonKept  = 4
)

// quietest are the n readings in which the generator has waited least for its core.
func quietest(found []*reading, n int) []*reading {
	sorted := slices.SortedStableFunc(slices.Values(found), func(a, b *reading) int { return cmp.Compare(a.waited, b.waited) })
	return sorted[:n]
}

func milliseconds(d time.Duration) float64 { return float64(d) / 1e6 }

func hitsResult(cs []*contender, common float64, rounds int) *result {
	find := func(name string) *contender {
		return cs[slices.IndexFunc(cs, func(c *contender) bool { return c.name == name })]
	}
	ours, floor, peer := find(guarded), find(bottom), find(haproxy)
	costs := table{
		title: "A hit",
		head:  []string{"", "CPU of HAProxy's", "of the floor's", "µs a hit", "smallest … largest", "requests/s", "core busy", "hits", "reached the origin"},
		notes: []string{fmt.Sprintf("2 KiB bodies, %d connections, the server on one core, medians of %d alternating rounds; user and system time of the "+
			"whole process group. Redis, which Django asks, has its own process on the other core and is not counted.", connections, rounds)},
	}
	costs.notes = append(costs.notes, fmt.Sprintf("The C floor, which answers with a constant, takes %s of Varnish's CPU and %s of HAProxy's: that is what the kernel needs to receive and to send.",
		number(floor.cpu.median()/find(varnish).cpu.median()), number(floor.cpu.median()/peer.cpu.median())))
	waits := table{
		title: "How long a hit takes",
		head:  []string{"", "rate", "requests/s", "p50 ms", "p99 ms", "p99.9 ms", "p99 smallest … largest"},
		notes: []string{"requests become due at a constant rate, and latency counts from the moment at which each was due: who stalls pays for all that should have been sent meanwhile. " +
			fmt.Sprintf("The same rate for all is half of what the slowest cache for whole responses saturates at; there each of %d turns is %d slices, and the medians are of the %d of each in which the load generator waited least for its own core.", rounds-1, commonTries, commonKept)},
	}
	for _, c := range cs {
		costs.rows = append(costs.rows, []string{
			c.name, number(c.cpu.median() / peer.cpu.median()), number(c.cpu.median() / floor.cpu.median()),
			fmt.Sprintf("%.2f", c.cpu.median()), c.cpu.span("%.2f"), fmt.Sprintf("%.0f", c.rate.median()), fmt.Sprintf("%.0f%%", 100*c.busy.median()),
			fmt.Sprint(c.requests), fmt.Sprint(c.origin),
		})
		for _, at := range paces {
			if len(c.p50[at]) == 0 {
				continue
			}
			rate := map[pace]float64{halfPace: c.rate.median() / 2, nearPace: c.rate.median() * 0.9, commonPace: common}[at]
			waits.rows = append(waits.rows, []string{
				c.name, string(at), fmt.Sprintf("%.0f", rate), fmt.Sprintf("%.3f", c.p50[at].median()), fmt.Sprintf("%.3f", c.p99[at].median()),
				fmt.Sprintf("%.3f", c.p999[at].median()), c.p99[at].span("%.3f"),
			})
		}
	}
	r := &result{tables: []table{costs, waits}}
	drawn := make([]dot, len(cs))
	for i, c := range cs {
		drawn[i] = dot{name: c.name, cpu: c.cpu.median(), least: slices.Min(c.cpu), most: slices.Max(c.cpu), rate: c.rate.median()}
	}
	slices.SortFunc(drawn, func(a, b dot) int { return cmp.Compare(a.cpu, b.cpu) })
	r.pictures = map[string]string{"hits.svg": dots(drawn, "What a cache hit costs", fmt.Sprintf("2 KiB, %d connections, one core; medians of %d alternating rounds, the line is from the smallest to the largest", connections, rounds))}
	for _, g := range []struct {
		name  string
		limit float64
	}{{haproxy, 0.82}, {nginx, 0.66}, {varnish, 0.37}, {bottom, 1.40}} {
		r.goals = append(r.goals, goal{what: "CPU of a hit, 2 KiB, 32 connections: ours / " + g.name, ratio: ours.cpu.median() / find(g.name).cpu.median(), limit: g.limit})
	}
	best := ""
	for _, name := range peers {
		if best == "" || find(name).p99[commonPace].median() < find(best).p99[commonPace].median() {
			best = name
		}
	}
	r.goals = append(r.goals, goal{
		what:  fmt.Sprintf("p99 of a hit at the same rate (%.0f/s): ours / best peer (%s)", common, best),
		ratio: ours.p99[commonPace].median() / find(best).p99[commonPace].median(), limit: 1,
	})
	return r
}
