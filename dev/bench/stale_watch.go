package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"
)

// watchStaleness starts everybody, lets them run and stops them.
func (st *stage) watchStaleness(ctx context.Context, settings staleSettings) (ws []*witness, commits int64, err error) {
	config, err := pgxpool.ParseConfig(st.database)
	if err != nil {
		return nil, 0, err
	}
	config.MaxConns = 24
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, 0, err
	}
	defer pool.Close()
	if _, err := st.db.Exec(ctx, "UPDATE pages SET version = 1 WHERE version <> 1"); err != nil {
		return nil, 0, err
	}
	for _, statement := range announce {
		if _, err := st.db.Exec(ctx, statement); err != nil {
			return nil, 0, fmt.Errorf("%s: %w", statement, err)
		}
	}
	defer func() {
		for _, statement := range announceNoMore {
			_, failed := st.db.Exec(context.WithoutCancel(ctx), statement)
			err = errors.Join(err, failed)
		}
	}()
	defer func() {
		for _, w := range ws {
			err = errors.Join(err, w.end())
		}
	}()
	for _, s := range settings.strategies {
		w := &witness{strategy: s}
		ws = append(ws, w)
		if err := st.admit(ctx, w, pool); err != nil {
			return ws, 0, fmt.Errorf("%s: %w", w, err)
		}
	}
	commits, err = st.observe(ctx, ws, pool, settings)
	return ws, commits, err
}

// observe runs the reads, the writes and the purges, and returns how many commits there were while it counted.
func (st *stage) observe(ctx context.Context, ws []*witness, pool *pgxpool.Pool, settings staleSettings) (int64, error) {
	l := newLedger(settings.keys+1, 1)
	keys := zipf(settings.keys, 1<<16)
	began := time.Now()
	counting := began.Add(settings.before)
	end := counting.Add(settings.span)
	stopped, stop := context.WithCancel(ctx)
	defer stop()

	behind, failed := errgroup.WithContext(stopped) // what runs until the reads are done
	var commits atomic.Int64
	news := make(chan change, 10_000)
	behind.Go(func() error { return write(failed, pool, l, settings, counting, &commits, news) })
	for _, w := range ws {
		if w.purge {
			p := &purger{address: w.server.Listen, client: http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}}
			listening := make(chan struct{})
			behind.Go(func() error { return p.run(failed, pool, func() { close(listening) }) })
			select {
			case <-listening:
			case <-failed.Done():
			}
		}
		if w.name == guarded {
			behind.Go(func() error { return watchSettled(failed, w.server.Admin, l, news) })
		}
	}
	reads, _ := errgroup.WithContext(failed)
	for _, w := range ws {
		reads.Go(func() error {
			if err := w.read(failed, l, keys, settings, counting); err != nil {
				return fmt.Errorf("%s: %w", w, err)
			}
			return nil
		})
	}
	reads.Go(func() error {
		if err := wait(failed, time.Until(counting)); err != nil {
			return err
		}
		for _, w := range ws {
			w.atStart = w.origin.requests.Load()
		}
		st.say("counting from here, for %s", settings.span)
		err := wait(failed, time.Until(end))
		for _, w := range ws {
			w.atEnd = w.origin.requests.Load()
		}
		return err
	})
	err := reads.Wait()
	stop()
	if other := behind.Wait(); other != nil {
		err = other // what came first: the reads have ended for it
	}
	return commits.Load(), err
}

// wait returns early, with an error, when ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
