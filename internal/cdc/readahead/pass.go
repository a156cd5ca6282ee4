package readahead

import (
	"context"
	"errors"
	"fmt"
	"time"

	"walpurge/internal/cdc/pgoutput"
	"walpurge/internal/coherence"
	"walpurge/internal/wal"
)

// errNotUnderstood says that the log isn't what it is taken for. It won't be
// the next time.
var errNotUnderstood = errors.New("the log can't be read ahead")

// pass reads the log ahead once.
type pass struct {
	*Reader
	resolver *resolver
	log      *physical
	full     int // size of a piece of which there is more
	scanner  *wal.Scanner
	digest   *wal.Digest
	tx       *coherence.Transaction
	commits  []wal.Commit // since the last publication
	count    int          // of commits that are in use
	since    time.Time    // of the last publication
	more     bool         // the last piece of the log was as large as pieces are
	applied  int          // transactions
}

// read reads ahead until the stream keeps up again.
func (a *Reader) read(ctx context.Context) error {
	side := a.Beside()
	defer side.Close()
	r := &pass{Reader: a, resolver: newResolver(a, side), tx: coherence.NewTransaction(a.Tables, a.BulkRows)}
	facts, err := r.resolver.facts(ctx)
	if err != nil {
		return err
	}
	layout, err := wal.NewLayout(a.Catalogue().Version, facts.page, facts.segment)
	if err != nil {
		return fmt.Errorf("%w: %w", errNotUnderstood, err)
	}
	if r.log, err = a.openLog(ctx, facts.restart); err != nil {
		return err
	}
	defer r.log.close(ctx)
	r.full = piecePages * facts.page
	r.scanner, r.digest = wal.NewScanner(layout, facts.restart), wal.NewDigest(layout, facts.database, pgoutput.Prefix)
	a.Log.Info("the stream is behind: the log is read ahead of it", "from", facts.restart.String())
	a.state.on.Store(true)
	defer a.state.on.Store(false)
	if err := r.run(ctx); err != nil {
		return err
	}
	a.Log.Info("the stream keeps up again", "to", r.scanner.Position().String(), "transactions", r.applied)
	return nil
}

func (r *pass) run(ctx context.Context) error {
	var pace catchingUp
	for {
		data, err := r.log.receive(ctx)
		if err != nil {
			return err
		}
		if data.start != 0 {
			if data.start != r.scanner.Next() {
				return fmt.Errorf("%w: a piece starts at %s and not at %s", errNotUnderstood, data.start, r.scanner.Next())
			}
			r.more = len(data.bytes) >= r.full
			if err := r.scanner.Scan(data.bytes, r.visit); err != nil {
				return fmt.Errorf("%w: %w", errNotUnderstood, err)
			}
			r.log.written = r.scanner.Next()
		}
		if !r.more || time.Since(r.since) >= publishPause {
			if err := r.publish(ctx); err != nil {
				return err
			}
		}
		if pace.over(r.sink.Streamed(), r.scanner.Position(), r.After) {
			return nil
		}
	}
}

// visit keeps what has been committed.
func (r *pass) visit(record *wal.Record) error {
	c, err := r.digest.Record(record)
	if err != nil || c == nil || c.Empty() || c.Start < r.From || c.End <= r.sink.Applied() {
		return err
	}
	if r.count == len(r.commits) {
		r.commits = append(r.commits, wal.Commit{})
	}
	r.commits[r.count].CopyFrom(c)
	r.count++
	return nil
}

// publish applies what has been committed, and moves on to where it ends.
func (r *pass) publish(ctx context.Context) error {
	r.since = time.Now()
	commits := r.commits[:r.count]
	r.count = 0
	verdicts, err := r.resolver.resolve(ctx, commits)
	if err != nil {
		return err
	}
	for i := range commits {
		r.coarse(&commits[i], verdicts)
		if r.sink.Deliver(r.tx) && !r.tx.Empty() {
			r.applied++
			r.state.transactions.Add(1)
		}
	}
	r.sink.Advance(r.scanner.Position())
	return nil
}

// catchingUp tells when the stream keeps up again.
type catchingUp struct {
	mark  coherence.LSN // where the log was
	at    time.Time     // when
	since time.Time     // since when each mark has been reached in time; zero: it was not
}

func (c *catchingUp) over(streamed, position coherence.LSN, after time.Duration) bool {
	now := time.Now()
	switch {
	case after < 0: // for tests: always
		return false
	case streamed >= c.mark:
		if c.since.IsZero() {
			c.since = now
		}
		c.mark, c.at = position, now
	case now.Sub(c.at) > after:
		c.since = time.Time{}
	}
	return !c.since.IsZero() && now.Sub(c.since) >= linger
}
