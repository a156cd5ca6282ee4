package cdc

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"walpurge/internal/cdc/pgoutput"
	"walpurge/internal/coherence"
	"walpurge/internal/retry"
	"walpurge/internal/wal"
)

// The server sends a packet for every row, and one bulk job may take it more
// time than the job itself. While the stream is behind, the same log is read as
// it lies on disk, which takes a small part of that, and what has been
// committed is applied by whole tables (docs/decisions/0009-read-ahead.md).

const (
	// DefaultReadAhead is how long the stream may be behind before the log is read ahead of it.
	DefaultReadAhead = 100 * time.Millisecond

	aheadLeast   = 1 << 20              // bytes of log by which it is behind then; less, it has sent in a moment
	aheadLinger  = time.Second          // for which the stream has to keep up for reading ahead to end
	aheadPublish = 5 * time.Millisecond // between two applications while there is more

	// piecePages is how many pages the server sends at once when there is more:
	// MAX_SEND_SIZE of walsender.c.
	piecePages = 16
)

// ahead is the state of reading ahead in one session.
type ahead struct {
	wake   chan struct{} // of capacity 1: the stream is behind
	behind time.Time     // of the prober: since when the stream is; zero: it is not
}

// readsAhead is what a Listener knows of it.
type readsAhead struct {
	baseline     baseline // of the session
	on           atomic.Bool
	transactions atomic.Uint64 // applied because of it
}

// fell notes that the primary's log was flushed up to lsn and whether all of
// that has been applied, and starts to read ahead when the stream has been behind for long enough.
func (s *session) fell(lsn coherence.LSN, reached bool) {
	after := s.l.cfg.ReadAhead
	streamed := coherence.LSN(s.front.streamed.Load())
	switch {
	case after == 0:
		return
	case reached, lsn < streamed+aheadLeast:
		s.ahead.behind = time.Time{}
		return
	case s.ahead.behind.IsZero():
		s.ahead.behind = time.Now()
	}
	if time.Since(s.ahead.behind) >= after {
		select {
		case s.ahead.wake <- struct{}{}:
		default:
		}
	}
}

// readAhead reads ahead whenever the stream is behind. What goes wrong with
// that is no reason to end the session.
func (s *session) readAhead(ctx context.Context) error {
	pauses := retry.Backoff{Chance: s.l.cfg.Chance}
	for s.awaitFall(ctx) {
		began := time.Now()
		err := s.runAhead(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			pauses.Reset()
			select {
			case <-s.ahead.wake: // it was behind meanwhile
			default:
			}
			continue
		}
		s.l.trouble("read ahead", err)
		if errors.Is(err, errNotUnderstood) {
			return nil
		}
		if time.Since(began) > steady {
			pauses.Reset()
		}
		if !retry.Wait(ctx, pauses.Next()) {
			return nil
		}
	}
	return nil
}

// awaitFall waits until the stream is behind, and tells whether ctx goes on.
func (s *session) awaitFall(ctx context.Context) bool {
	if s.l.cfg.ReadAhead < 0 {
		return ctx.Err() == nil
	}
	select {
	case <-ctx.Done():
		return false
	case <-s.ahead.wake:
		return true
	}
}

// errNotUnderstood says that the log isn't what it is taken for. It won't be
// the next time.
var errNotUnderstood = errors.New("the log can't be read ahead")

// reader reads the log ahead once.
type reader struct {
	s        *session
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

// runAhead reads ahead until the stream keeps up again.
func (s *session) runAhead(ctx context.Context) error {
	side := s.l.beside(s.server)
	defer side.Close()
	r := &reader{s: s, resolver: newResolver(s, side), tx: coherence.NewTransaction(s.l.guard.Tables(), s.l.cfg.BulkRows)}
	facts, err := r.resolver.facts(ctx)
	if err != nil {
		return err
	}
	layout, err := wal.NewLayout(s.catalogue.Version, facts.page, facts.segment)
	if err != nil {
		return fmt.Errorf("%w: %w", errNotUnderstood, err)
	}
	if r.log, err = s.openLog(ctx, facts.restart); err != nil {
		return err
	}
	defer r.log.close(ctx)
	r.full = piecePages * facts.page
	r.scanner, r.digest = wal.NewScanner(layout, facts.restart), wal.NewDigest(layout, facts.database, pgoutput.Prefix)
	l := s.l
	l.log.Info("the stream is behind: the log is read ahead of it", "from", facts.restart.String())
	l.ahead.on.Store(true)
	defer l.ahead.on.Store(false)
	if err := r.run(ctx); err != nil {
		return err
	}
	l.log.Info("the stream keeps up again", "to", r.scanner.Position().String(), "transactions", r.applied)
	return nil
}

func (r *reader) run(ctx context.Context) error {
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
		if !r.more || time.Since(r.since) >= aheadPublish {
			if err := r.publish(ctx); err != nil {
				return err
			}
		}
		if pace.over(coherence.LSN(r.s.front.streamed.Load()), r.scanner.Position(), r.s.l.cfg.ReadAhead) {
			return nil
		}
	}
}

// visit keeps what has been committed.
func (r *reader) visit(record *wal.Record) error {
	c, err := r.digest.Record(record)
	if err != nil || c == nil || c.Empty() || c.Start < r.s.from || c.End <= r.s.front.position() {
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
func (r *reader) publish(ctx context.Context) error {
	r.since = time.Now()
	commits := r.commits[:r.count]
	r.count = 0
	verdicts, err := r.resolver.resolve(ctx, commits)
	if err != nil {
		return err
	}
	for i := range commits {
		r.coarse(&commits[i], verdicts)
		if r.s.deliver(r.tx) && !r.tx.Empty() {
			r.applied++
			r.s.l.ahead.transactions.Add(1)
		}
	}
	r.s.advance(r.scanner.Position())
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
	return !c.since.IsZero() && now.Sub(c.since) >= aheadLinger
}
