package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"walpurge/internal/cdc"
	"walpurge/internal/coherence"
)

// reader is the proxy's listener with a guard full of cached responses, and without a proxy around it.
type reader struct {
	url, slot string
	guard     *coherence.Guard
	listener  *cdc.Listener
	holders   []holder
	matching  int // how many of them depend on a row that changes: the first
	evicted   atomic.Int64
	tally     tally
}

// holder stands for a cached response.
type holder struct {
	reader *reader
	handle coherence.Handle
}

// Evicted implements coherence.Holder.
func (h *holder) Evicted(coherence.Cause) { h.reader.evicted.Add(1) }

// tally is an Observer that counts.
type tally struct {
	rows    atomic.Int64
	want    atomic.Int64  // rows
	reached chan struct{} // closed once rows has come to want
	epochs  atomic.Int64
	started func()    // called once the log is followed; may be nil
	lags    latencies // from a commit, by the server's clock, until it was applied; of the goroutine that applies
}

// Applied implements cdc.Observer.
func (t *tally) Applied(tx *coherence.Transaction, _ *coherence.Purge, _ time.Duration) {
	t.lags = append(t.lags, time.Since(tx.CommittedAt))
	n := int64(0)
	for _, ops := range tx.Rows {
		for _, count := range ops {
			n += int64(count)
		}
	}
	want := t.want.Load()
	if now := t.rows.Add(n); want > 0 && now >= want && now-n < want {
		close(t.reached)
	}
}

// Settled implements cdc.Observer.
func (t *tally) Settled(time.Duration) {}

// Epoch implements cdc.Observer.
func (t *tally) Epoch(string, int) { t.epochs.Add(1) }

// newReader makes the slot, follows the log until it is fresh, caches responses and stops: a reader that is cut off.
// cached responses depend on the rows from 1 on, aside others on rows that don't exist.
func newReader(ctx context.Context, url, slot string, cached, aside int) (*reader, error) {
	began := time.Now()
	columns := []string{"id", "city", "price"}
	cfg := cdc.Config{
		URL: url, Slot: slot, Publication: publication, BulkRows: 10_000, MaxLag: time.Second,
		Watches: []cdc.Watch{{Table: "public.listings", Columns: columns, Conditions: columns}},
		Now:     func() coherence.Nanos { return coherence.Nanos(time.Since(began)) },
	}
	if _, err := cdc.Setup(ctx, cfg, false); err != nil {
		return nil, fmt.Errorf("make the slot of the listener: %w", err)
	}
	catalogue, err := cdc.Inspect(ctx, cfg)
	if err != nil {
		return nil, err
	}
	r := &reader{url: url, slot: slot, tally: tally{reached: make(chan struct{})}}
	if r.guard, err = coherence.New(coherence.Config{Tables: catalogue.Tables}); err != nil {
		return nil, err
	}
	r.listener = cdc.NewListener(cfg, catalogue, r.guard, &r.tally)
	return r, r.while(ctx, func() error {
		err := eventually(ctx, "the listener is fresh", func() (bool, error) { return r.guard.Proven() > 0, nil })
		if err != nil {
			return err
		}
		return r.cache(cached, aside)
	})
}

// nowhere is above the ids of all rows.
const nowhere = 1_000_000_000

// cache stores responses, each of which depends on a row.
func (r *reader) cache(matching, aside int) error {
	table := r.guard.Tables()[0]
	byID := coherence.Template{Equal: []coherence.Equal{{Column: table.Column("id")}}}
	r.holders, r.matching = make([]holder, matching+aside), matching
	for i := range r.holders {
		h := &r.holders[i]
		h.reader = r
		row := i + 1
		if i >= matching {
			row += nowhere
		}
		id := []coherence.Operand{{Present: true, Values: []string{strconv.Itoa(row)}}}
		if !r.guard.Open(&h.handle, h, r.guard.Bind(&byID, id, nil)) || !r.guard.Admit(&h.handle, h) {
			return fmt.Errorf("response %d of %d can't be cached", i+1, matching+aside)
		}
	}
	return nil
}

// while runs the listener for as long as do takes.
func (r *reader) while(ctx context.Context, do func() error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- r.listener.Run(ctx) }()
	err := do()
	stop()
	return errors.Join(err, <-ended)
}

// workOff follows the log again and returns after how long everything was applied. It checks that this is what has
// happened: every row was seen, every response dropped, and nothing by an epoch.
func (r *reader) workOff(ctx context.Context, changes int) (took time.Duration, err error) {
	r.tally.want.Store(int64(changes))
	began := time.Now()
	err = r.while(ctx, func() error {
		if r.tally.started != nil {
			r.tally.started()
		}
		late := time.NewTimer(patience)
		defer late.Stop()
		select {
		case <-r.tally.reached:
			took = time.Since(began)
			return nil
		case <-late.C:
			return fmt.Errorf("%d of %d changes applied within %s: %+v", r.tally.rows.Load(), changes, patience, r.listener.Status())
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	switch rows, epochs, evicted := r.tally.rows.Load(), r.tally.epochs.Load(), r.evicted.Load(); {
	case err != nil:
		return 0, err
	case rows != int64(changes) || epochs != 1 || evicted != int64(r.matching):
		return 0, fmt.Errorf("%d rows were applied of %d, %d responses dropped of %d, %d epochs begun: want all, all and 1",
			rows, changes, evicted, r.matching, epochs)
	}
	for i := range r.matching {
		if r.holders[i].handle.Live() {
			return 0, fmt.Errorf("the response %d is still served", i+1)
		}
	}
	return took, nil
}
