package cdc

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"walpurge/internal/coherence"
	"walpurge/internal/wal"
)

// The server sends a packet for every row, and one bulk job may take it more
// time than the job itself. While the stream is behind, the same log is read as
// it lies on disk, which takes a small part of that, and what has been
// committed is applied by whole tables (docs/decisions/0009-read-ahead.md).

const (
	// DefaultReadAhead is how long the stream may be behind before the log is read ahead of it.
	DefaultReadAhead = 100 * time.Millisecond

	aheadLinger  = time.Second // for which the stream has to keep up for reading ahead to end
	aheadPublish = 5 * time.Millisecond
)

// ahead is the state of reading ahead in one session.
type ahead struct {
	wake    chan struct{} // of capacity 1: the stream is behind
	leading atomic.Bool   // the log is read ahead, and there is more of it
	behind  time.Time     // of the prober: since when the stream is; zero: it is not
}

// fell notes what a question for the flush position has shown, and starts to
// read ahead when the stream has been behind for long enough.
func (s *session) fell(behind bool) {
	after := s.l.cfg.ReadAhead
	if after == 0 {
		return
	}
	if !behind {
		s.ahead.behind = time.Time{}
		return
	}
	if s.ahead.behind.IsZero() {
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
	pauses := backoff{chance: s.l.cfg.Chance}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.ahead.wake:
		}
		began := time.Now()
		err := s.runAhead(ctx)
		s.ahead.leading.Store(false)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			continue
		}
		s.l.trouble("read ahead", err)
		if errors.Is(err, errNotUnderstood) {
			<-ctx.Done()
			return nil
		}
		if time.Since(began) > steady {
			pauses.reset()
		}
		if !wait(ctx, pauses.next()) {
			return nil
		}
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
	scanner  *wal.Scanner
	digest   *wal.Digest
	tx       *coherence.Transaction
	commits  []wal.Commit // since the last publication
	count    int          // of commits that are in use
	since    time.Time    // of the last publication
	more     bool         // the last piece of the log was as large as pieces are
}

// runAhead reads ahead until the stream keeps up again.
func (s *session) runAhead(ctx context.Context) error {
	side := newSide(&s.l.cfg, s.server)
	defer side.close()
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
	r.scanner, r.digest = wal.NewScanner(layout, facts.restart), wal.NewDigest(layout, facts.database, messagePrefix)
	began := time.Now()
	err = r.run(ctx)
	s.l.log.Info("read ahead", "from", facts.restart.String(), "to", r.scanner.Position().String(), "for", time.Since(began), "error", err)
	return err
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
			r.s.ahead.leading.Store(len(data.bytes) >= fullPiece)
			r.more = len(data.bytes) >= fullPiece
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
		r.s.deliver(r.tx)
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
