package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"walpurge/internal/coherence"
)

// change is a commit whose settlement isn't known yet.
type change struct {
	row, version int
	lsn          coherence.LSN // at or behind its end
}

// write commits changes at a constant rate until ctx ends.
func write(ctx context.Context, pool *pgxpool.Pool, l *ledger, settings staleSettings, counting time.Time, commits *atomic.Int64, news chan<- change) error {
	tick := time.NewTicker(time.Duration(float64(time.Second) / settings.writes))
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		row := 1 + n*7919%settings.keys // all rows alike, in an order that isn't theirs
		var version int
		var lsn string
		err := pool.QueryRow(ctx, "UPDATE pages SET version = version + 1 WHERE id = $1 RETURNING version", row).Scan(&version)
		if err == nil {
			err = l.committed(row, version, time.Now())
		}
		if err == nil {
			err = pool.QueryRow(ctx, "SELECT pg_current_wal_flush_lsn()::text").Scan(&lsn)
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("change row %d: %w", row, err)
		}
		at, err := coherence.ParseLSN(lsn)
		if err != nil {
			return err
		}
		if time.Now().After(counting) {
			commits.Add(1)
		}
		select {
		case news <- change{row, version, at}:
		default: // nobody wants to know
		}
	}
}

// watchSettled asks our proxy for its watermark and notes what is settled by it.
func watchSettled(ctx context.Context, admin string, l *ledger, news <-chan change) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var waiting []change
	for {
		select {
		case <-ctx.Done():
			return nil
		case c := <-news:
			waiting = append(waiting, c)
			continue
		case <-tick.C:
		}
		if len(waiting) == 0 {
			continue
		}
		watermark, err := askWatermark(ctx, admin)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		at := time.Now()
		waiting = slices.DeleteFunc(waiting, func(c change) bool {
			if c.lsn > watermark {
				return false
			}
			l.settle(c.row, c.version, at)
			return true
		})
	}
}

func askWatermark(ctx context.Context, admin string) (coherence.LSN, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/status", nil)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, fmt.Errorf("ask for the watermark: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	var status struct {
		Guard struct{ Watermark string } `json:"guard"`
	}
	if err := json.NewDecoder(response.Body).Decode(&status); err != nil {
		return 0, fmt.Errorf("ask for the watermark: %w", err)
	}
	return coherence.ParseLSN(status.Guard.Watermark)
}
