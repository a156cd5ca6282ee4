package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// before is the contestant that an earlier build of the proxy is (-before).
const before = "proxy, before"

// measureBefore has an earlier build of the proxy take turns with this one at each way that a request or a change goes.
func measureBefore(ctx context.Context, st *stage) (*result, error) {
	rounds, spans, span, changes := 7, 3, time.Second, 200_000
	if st.short {
		rounds, spans, span, changes = 1, 1, 400*time.Millisecond, 5000
	}
	ways := []struct {
		label   string
		adjust  func(*site)
		prepare func(context.Context, *server, *generator) error            // once the server runs
		attempt func(context.Context, *server, *generator) (float64, error) // microseconds of CPU
	}{
		{label: "a hit", attempt: func(ctx context.Context, s *server, g *generator) (float64, error) {
			return st.again(ctx, s, g, s.hits(pageSize, span))
		}},
		{label: "a 304", attempt: func(ctx context.Context, s *server, g *generator) (float64, error) {
			return st.again(ctx, s, g, s.unchanged(span))
		}},
		{label: "a hit from Redis", adjust: func(s *site) { s.Redis, s.Memory = st.redis.URL(), 1 }, prepare: st.intoRedis, attempt: func(ctx context.Context, s *server, g *generator) (float64, error) {
			return st.fromRedis(ctx, s, g, span)
		}},
		{label: "a miss", attempt: func(ctx context.Context, s *server, g *generator) (float64, error) { return st.missed(ctx, s, g, span) }},
		{label: "a row change", adjust: func(s *site) { s.StreamOnly = true }, attempt: func(ctx context.Context, s *server, _ *generator) (float64, error) {
			return st.changed(ctx, s, changes)
		}},
	}
	names := []string{guarded, before}
	t := table{
		title: "Beside an earlier build",
		head:  []string{"", "CPU: this one / the earlier", "smallest … largest", "µs, this one", "µs, the earlier"},
		notes: []string{fmt.Sprintf("2 KiB bodies, %d connections, the server on one core. The ratio is the median of those of %d alternating rounds, in each of which both are started anew and the cheapest of %d spans of each counts: what else the machine does only adds.", connections, rounds, spans)},
	}
	r := &result{}
	for _, way := range ways {
		var cost [2]series
		var ratios series
		for round := range rounds {
			var this [2]float64
			for _, i := range turns(len(names), round) {
				err := st.with(ctx, names[i], connections, way.adjust, func(s *server, g *generator) (err error) {
					if way.prepare != nil {
						if err := way.prepare(ctx, s, g); err != nil {
							return err
						}
					}
					for range spans {
						cost, err := way.attempt(ctx, s, g)
						if err != nil {
							return err
						}
						if this[i] == 0 || cost < this[i] {
							this[i] = cost
						}
					}
					return nil
				})
				if err == nil && way.prepare != nil {
					err = st.emptyRedis(ctx)
				}
				if err != nil {
					return nil, fmt.Errorf("%s: %w", way.label, err)
				}
				cost[i] = append(cost[i], this[i])
			}
			ratios = append(ratios, this[0]/this[1])
			st.say("round %d of %d, %s: %.2f µs, before %.2f µs", round+1, rounds, way.label, this[0], this[1])
		}
		t.rows = append(t.rows, []string{
			way.label, fmt.Sprintf("%.3f", ratios.median()), ratios.span("%.3f"), fmt.Sprintf("%.2f", cost[0].median()), fmt.Sprintf("%.2f", cost[1].median()),
		})
		r.goals = append(r.goals, goal{what: "CPU of " + way.label + ": this build / the earlier one", ratio: ratios.median(), limit: 1.02})
	}
	r.tables = []table{t}
	return r, nil
}

// again measures a plan of hits once it has run for a while.
func (st *stage) again(ctx context.Context, s *server, g *generator, p *plan) (float64, error) {
	warm := *p
	warm.span /= 4
	if _, err := st.load(ctx, s, g, lenient(&warm)); err != nil {
		return 0, err
	}
	r, err := st.measure(ctx, s, g, p)
	if err != nil {
		return 0, err
	}
	return r.perRequest(), nil
}

// unchanged is a plan that asks for the page 1, which the client has already.
func (s *server) unchanged(span time.Duration) *plan {
	request := s.get(page, "If-None-Match: "+etag+"\r\n")
	return &plan{
		span: span, status: 304, length: -1, mark: []byte(s.mark),
		request: func(dst []byte, _ int) []byte { return append(dst, request...) },
	}
}

// emptyRedis takes away what a server has stored, once that has ended: its relay is there, too.
func (st *stage) emptyRedis(ctx context.Context) error {
	client, err := st.redisClient()
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	return client.FlushDB(ctx).Err()
}

// intoRedis stores pages in Redis.
func (st *stage) intoRedis(ctx context.Context, s *server, g *generator) error {
	client, err := st.redisClient()
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	_, err = st.fillRedis(ctx, client, s, g, st.redisKeys()/4)
	return err
}

// fromRedis measures hits of what intoRedis has stored, for which the least memory tier has no room.
func (st *stage) fromRedis(ctx context.Context, s *server, g *generator, span time.Duration) (float64, error) {
	n := st.redisKeys() / 4
	// One step of a large prime visits all pages in turn, far from each other.
	return st.again(ctx, s, g, s.pages(pageSize, span, func(i int) int { return 1 + i*7919%n }))
}

// missed measures pages that nobody has asked for before.
func (st *stage) missed(ctx context.Context, s *server, g *generator, span time.Duration) (float64, error) {
	first := 20_000_000 + st.missedSoFar
	p := s.pages(pageSize, span, func(n int) int { return first + n })
	p.rate, p.polite, p.mark = 1000, true, nil
	r, err := st.load(ctx, s, g, p)
	if err != nil {
		return 0, err
	}
	st.missedSoFar += int(r.requests)
	if r.origin != r.requests {
		return 0, fmt.Errorf("%d of %d requests reached the origin: they were no misses", r.origin, r.requests)
	}
	return r.perRequest(), nil
}

// changed measures row changes until the last of them is applied, with nobody asking for a page. The proxy stands still
// while they are made: how often it would be woken for them depends on how fast the server is.
func (st *stage) changed(ctx context.Context, s *server, n int) (float64, error) {
	const each = 100
	before, err := groupCPU(s.Handle.Pid)
	if err != nil {
		return 0, err
	}
	if err := syscall.Kill(-s.Handle.Pid, syscall.SIGSTOP); err != nil {
		return 0, err
	}
	defer func() { _ = syscall.Kill(-s.Handle.Pid, syscall.SIGCONT) }() // whatever comes between
	for i := range n / each {
		from := 2 + i*each%(rows-each)
		if _, err := st.db.Exec(ctx, "UPDATE pages SET version = version + 1 WHERE id >= $1 AND id < $2", from, from+each); err != nil {
			return 0, err
		}
	}
	var end string
	if err := st.db.QueryRow(ctx, "SELECT pg_current_wal_insert_lsn()::text").Scan(&end); err != nil {
		return 0, err
	}
	if err := syscall.Kill(-s.Handle.Pid, syscall.SIGCONT); err != nil {
		return 0, err
	}
	err = s.await(ctx, "apply all changes", func(ctx context.Context) error { return applied(ctx, st.db, s.Admin, end) })
	if err != nil {
		return 0, err
	}
	after, err := groupCPU(s.Handle.Pid)
	if err != nil {
		return 0, err
	}
	return (after - before).Seconds() * 1e6 / float64(n), nil
}

// applied asks a proxy's admin port whether all that lies before end is applied.
func applied(ctx context.Context, db *pgx.Conn, admin, end string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/status", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	var status struct {
		Guard struct {
			Applied string `json:"applied"`
		} `json:"guard"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&status); err != nil {
		return err
	}
	var there bool
	if err := db.QueryRow(ctx, "SELECT $1::text::pg_lsn >= $2::text::pg_lsn", status.Guard.Applied, end).Scan(&there); err != nil {
		return err
	}
	if !there {
		return fmt.Errorf("%s is applied, %s wanted", status.Guard.Applied, end)
	}
	return nil
}
