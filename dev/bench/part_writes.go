package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// measureWrites asks for hits at a constant rate while rows change that the hit responses don't depend on.
func measureWrites(ctx context.Context, st *stage) (*result, error) {
	// The kernel counts CPU in steps of 10 ms: there must be many of them.
	rounds, span, rate := 3, 3*time.Second, 40_000.0
	if st.short {
		rounds, span, rate = 1, 500*time.Millisecond, 20_000
	}
	const cached = 10_000
	changes := []int{0, 100, 1000, 10_000}
	found := make([]struct{ cpu, did, p99 series }, len(changes))
	err := st.with(ctx, guarded, connections, nil, func(s *server, g *generator) error {
		if err := fillPages(ctx, s, g, cached, pageSize); err != nil {
			return err
		}
		for round := range rounds {
			for _, i := range turns(len(changes), round) {
				w := &rowWriter{url: st.database, perSecond: changes[i], from: cached + 1, to: rows}
				p := s.hits(pageSize, span)
				p.rate = rate
				var r *reading
				err := w.while(ctx, func() (err error) {
					r, err = st.measure(ctx, s, g, p)
					return err
				})
				if err != nil {
					return fmt.Errorf("%d changes a second: %w", changes[i], err)
				}
				f, did := &found[i], float64(w.did.Load())/r.took.Seconds()
				f.cpu, f.did, f.p99 = append(f.cpu, r.perRequest()), append(f.did, did), append(f.p99, milliseconds(r.latencies.quantile(0.99)))
				st.say("round %d of %d: %7.2f µs a hit under %.0f changes/s", round+1, rounds, r.perRequest(), did)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	t := table{
		title: "Hits while rows change",
		head:  []string{"changes/s wanted", "CPU: of that without", "µs a hit", "smallest … largest", "p99 ms", "changes/s made"},
		notes: []string{fmt.Sprintf("%s hits a second of one page; %s responses are cached, each of which depends on a row; the rows that change are others of the same table, in up to 100 transactions a second. "+
			"The CPU is all that the proxy uses, following the log included. Medians of %d alternating rounds.", thousands(rate), thousands(cached), rounds)},
	}
	for i, n := range changes {
		f := found[i]
		t.rows = append(t.rows, []string{
			thousands(float64(n)), number(f.cpu.median() / found[0].cpu.median()), fmt.Sprintf("%.2f", f.cpu.median()), f.cpu.span("%.2f"),
			fmt.Sprintf("%.3f", f.p99.median()), fmt.Sprintf("%.0f", f.did.median()),
		})
	}
	return &result{tables: []table{t}, goals: []goal{{
		what: "CPU of a hit: with 1,000 changes a second / without", ratio: found[2].cpu.median() / found[0].cpu.median(), limit: 1.15,
	}}}, nil
}

// rowWriter changes rows of the table pages at a constant rate.
type rowWriter struct {
	url       string
	perSecond int
	from, to  int // rows, the last included
	did       atomic.Int64
}

// while writes for as long as do takes.
func (w *rowWriter) while(ctx context.Context, do func() error) (err error) {
	if w.perSecond == 0 {
		return do()
	}
	conn, err := pgx.Connect(ctx, w.url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	stop, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- w.write(ctx, conn, stop) }()
	err = do()
	close(stop)
	return errors.Join(err, <-ended)
}

// write makes up to a hundred transactions a second.
func (w *rowWriter) write(ctx context.Context, conn *pgx.Conn, stop <-chan struct{}) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	began, at := time.Now(), w.from
	for {
		select {
		case <-stop:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		due := int(time.Since(began).Seconds()*float64(w.perSecond)) - int(w.did.Load())
		n := min(due, max(1, w.perSecond/50), w.to-at)
		if n <= 0 {
			if at >= w.to {
				at = w.from
			}
			continue
		}
		tag, err := conn.Exec(ctx, "UPDATE pages SET version = version + 1 WHERE id >= $1 AND id < $2", at, at+n)
		if err != nil {
			return fmt.Errorf("change rows: %w", err)
		}
		w.did.Add(tag.RowsAffected())
		at += n
	}
}
