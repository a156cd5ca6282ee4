package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// measureChanges compares what a row change costs the listener with few and with many cached responses, of which the
// same ones depend on it.
func measureChanges(ctx context.Context, st *stage) (res *result, err error) {
	rounds, changes, few, many := 3, 200_000, 1000, 1_000_000
	if st.short {
		rounds, changes, many = 1, 50_000, 50_000
	}
	b, err := newBacklog(ctx, filepath.Join(st.dir, "changes"), st.apart(backlogSettings{changes: changes}))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	aside := []int{0, many - few}
	cost := make([]series, len(aside))
	for round := range rounds {
		for _, i := range turns(len(aside), round) {
			slot := fmt.Sprintf("changes_%d_%d", round, i)
			r, err := newReader(ctx, b.url, slot, few, aside[i])
			if err != nil {
				return nil, err
			}
			if err := b.released(ctx, slot); err != nil {
				return nil, err
			}
			if _, err := b.pile(ctx); err != nil {
				return nil, err
			}
			before := ownCPU()
			if _, err := r.workOff(ctx, changes); err != nil {
				return nil, err
			}
			cost[i] = append(cost[i], (ownCPU()-before).Seconds()*1e6/float64(changes))
			if err := b.drop(ctx, slot); err != nil {
				return nil, err
			}
			st.say("round %d of %d: %.2f µs a change with %d responses", round+1, rounds, cost[i][round], few+aside[i])
		}
	}
	t := table{
		title: "The cost of a row change",
		head:  []string{"cached responses", "CPU of that with " + thousands(float64(few)), "µs a change", "smallest … largest"},
		notes: []string{fmt.Sprintf("%s changes in transactions of %d, %s of which drop one response each, the same in both cases. CPU of the process with the listener, medians of %d alternating rounds.",
			thousands(float64(changes)), perTransaction, thousands(float64(few)), rounds)},
	}
	for i := range aside {
		t.rows = append(t.rows, []string{thousands(float64(few + aside[i])), number(cost[i].median() / cost[0].median()), fmt.Sprintf("%.2f", cost[i].median()), cost[i].span("%.2f")})
	}
	return &result{tables: []table{t}, goals: []goal{{
		what:  fmt.Sprintf("CPU of a row change: with %s cached responses / with %s", thousands(float64(many)), thousands(float64(few))),
		ratio: cost[1].median() / cost[0].median(), limit: 1.3,
	}}}, nil
}

// ownCPU is what this process has used.
func ownCPU() time.Duration {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage) // it can't fail: the argument is right
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// measurePurge compares how long after its commit a change has dropped its response with how long after it a program
// that only receives has it.
func measurePurge(ctx context.Context, st *stage) (res *result, err error) {
	rounds, commits := 3, 2000
	if st.short {
		rounds, commits = 1, 200
	}
	b, err := newBacklog(ctx, filepath.Join(st.dir, "purge"), st.apart(backlogSettings{changes: commits}))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if _, err := b.conn.Exec(ctx, "SET synchronous_commit = on"); err != nil {
		return nil, err
	}
	names := []string{"the listener and the guard: dropped", "pglogrepl alone: received"}
	p50, p99 := make([]series, 2), make([]series, 2)
	for round := range rounds {
		for _, i := range turns(2, round) {
			slot := fmt.Sprintf("purge_%d_%d", round, i)
			measure := b.dropped
			if i == 1 {
				measure = b.received
			}
			lags, err := measure(ctx, slot, commits)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", names[i], err)
			}
			if err := b.drop(ctx, slot); err != nil {
				return nil, err
			}
			p50[i], p99[i] = append(p50[i], milliseconds(lags.quantile(0.5))), append(p99[i], milliseconds(lags.quantile(0.99)))
			st.say("round %d of %d: %-36s p50 %.3f ms, p99 %.3f ms", round+1, rounds, names[i], p50[i][round], p99[i][round])
		}
	}
	t := table{
		title: "From a commit to its purge",
		head:  []string{"", "p99 of that of receiving", "p50 ms", "p99 ms", "smallest … largest"},
		notes: []string{fmt.Sprintf("%s commits, one after the other, 500 a second at most, each of which drops one response. Time counts from the commit by the server's clock, before it was flushed; medians of %d alternating rounds.",
			thousands(float64(commits)), rounds)},
	}
	for i, name := range names {
		t.rows = append(t.rows, []string{name, number(p99[i].median() / p99[1].median()), fmt.Sprintf("%.3f", p50[i].median()), fmt.Sprintf("%.3f", p99[i].median()), p99[i].span("%.3f")})
	}
	return &result{tables: []table{t}, goals: []goal{{
		what: "p99 from a commit: dropped by ours / received by pglogrepl", ratio: p99[0].median() / p99[1].median(), limit: 3,
	}}}, nil
}

// drop removes a slot once nobody holds it.
func (b *backlog) drop(ctx context.Context, slot string) error {
	if err := b.released(ctx, slot); err != nil {
		return err
	}
	if _, err := b.conn.Exec(ctx, "SELECT pg_drop_replication_slot($1)", slot); err != nil {
		return fmt.Errorf("drop the slot %s: %w", slot, err)
	}
	return nil
}

// commit changes the rows 1 to n, each in a transaction of its own.
func (b *backlog) commit(ctx context.Context, n int) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for row := 1; row <= n; row++ {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if _, err := b.conn.Exec(ctx, "UPDATE listings SET price = price + 1 WHERE id = $1", row); err != nil {
			return fmt.Errorf("change row %d: %w", row, err)
		}
	}
	return nil
}

// dropped is how long after their commits the listener had dropped n responses.
func (b *backlog) dropped(ctx context.Context, slot string, n int) (latencies, error) {
	r, err := newReader(ctx, b.url, slot, n, 0)
	if err != nil {
		return nil, err
	}
	if err := b.released(ctx, slot); err != nil {
		return nil, err
	}
	made := make(chan error, 1)
	proven := r.guard.Proven()
	r.tally.started = func() {
		go func() {
			// What waits until the log is followed again is no latency.
			err := eventually(ctx, "the listener follows again", func() (bool, error) { return r.guard.Proven() > proven, nil })
			if err == nil {
				err = b.commit(ctx, n)
			}
			made <- err
		}()
	}
	if _, err := r.workOff(ctx, n); err != nil {
		return nil, err
	}
	slices.Sort(r.tally.lags)
	return r.tally.lags, <-made
}

// received is how long after their commits pglogrepl had received n transactions.
func (b *backlog) received(ctx context.Context, slot string, n int) (lags latencies, err error) {
	conn, err := pgconn.Connect(ctx, b.url+"&replication=database")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	if _, err := pglogrepl.CreateReplicationSlot(ctx, conn, slot, "pgoutput", pglogrepl.CreateReplicationSlotOptions{}); err != nil {
		return nil, err
	}
	err = pglogrepl.StartReplication(ctx, conn, slot, 0, pglogrepl.StartReplicationOptions{
		PluginArgs: []string{"proto_version '1'", "publication_names '" + publication + "'"},
	})
	if err != nil {
		return nil, err
	}
	made := make(chan error, 1)
	go func() { made <- b.commit(ctx, n) }()
	for len(lags) < n {
		message, err := conn.ReceiveMessage(ctx)
		if err != nil {
			return nil, err
		}
		data, ok := message.(*pgproto3.CopyData)
		if !ok || data.Data[0] != pglogrepl.XLogDataByteID {
			continue
		}
		x, err := pglogrepl.ParseXLogData(data.Data[1:])
		if err != nil {
			return nil, err
		}
		parsed, err := pglogrepl.Parse(x.WALData)
		if err != nil {
			return nil, err
		}
		if c, ok := parsed.(*pglogrepl.CommitMessage); ok {
			lags = append(lags, time.Since(c.CommitTime))
		}
	}
	slices.Sort(lags)
	return lags, <-made
}
