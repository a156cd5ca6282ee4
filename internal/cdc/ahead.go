package cdc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"walpurge/internal/cdc/catalogue"
	"walpurge/internal/cdc/pgoutput"
	"walpurge/internal/cdc/primary"
	"walpurge/internal/coherence"
	"walpurge/internal/retry"
	"walpurge/internal/wal"
)

// The server sends a packet for every row, and one bulk job may take it more
// time than the job itself. While the stream is behind, the same log is read as
// it lies on disk, which takes a small part of that, and what has been
// committed is applied by whole tables (docs/decisions/0009-read-ahead.md).

const (
	aheadLeast   = 1 << 20              // bytes of log by which it is behind then; less, it has sent in a moment
	aheadLinger  = time.Second          // for which the stream has to keep up for reading ahead to end
	aheadPublish = 5 * time.Millisecond // between two applications while there is more

	// piecePages is how many pages the server sends at once when there is more:
	// MAX_SEND_SIZE of walsender.c.
	piecePages = 16
)

// Sink is where the stream and what is read ahead of it meet.
type Sink interface {
	// Deliver applies a transaction, and tells whether that had not been done.
	Deliver(tx *coherence.Transaction) bool
	// Advance notes that everything up to lsn has been delivered.
	Advance(lsn coherence.LSN)
	// Applied is how far the log has been applied.
	Applied() coherence.LSN
	// Streamed is how far the stream has been received.
	Streamed() coherence.LSN
}

// Session is what a Reader has to know of the session that it reads ahead for.
type Session struct {
	Primary   primary.Options
	Beside    func() *primary.Conn // makes a connection for queries
	Server    primary.Server
	Slot      string
	From      coherence.LSN // where the stream starts
	After     time.Duration // how long the stream may be behind; 0: it may be for ever; negative: the log is read ahead at once
	Interval  time.Duration // between two statuses
	Tables    []coherence.Table
	BulkRows  int
	Catalogue func() *catalogue.Catalogue // what decoding goes by now
	Chance    func(time.Duration) time.Duration
	Log       *slog.Logger
	Trouble   func(error) // is told what goes wrong
}

// State is what outlives a session.
type State struct {
	Baseline     Baseline // of the session
	on           atomic.Bool
	transactions atomic.Uint64 // applied because of it
}

// On tells whether the log is being read ahead.
func (s *State) On() bool { return s.on.Load() }

// Transactions is the number of those that were applied because of it.
func (s *State) Transactions() uint64 { return s.transactions.Load() }

// Reader reads the log ahead of the stream in one session.
type Reader struct {
	Session
	sink   Sink
	state  *State
	wake   chan struct{} // of capacity 1: the stream is behind
	behind time.Time     // of who calls Fell: since when the stream is; zero: it is not
}

// NewReader makes a reader that waits until the stream falls behind.
func NewReader(s Session, sink Sink, state *State) *Reader {
	return &Reader{Session: s, sink: sink, state: state, wake: make(chan struct{}, 1)}
}

// Fell notes that the primary's log was flushed up to lsn and whether all of
// that has been applied, and starts to read ahead when the stream has been behind for long enough.
func (a *Reader) Fell(lsn coherence.LSN, reached bool) {
	after := a.After
	switch {
	case after == 0:
		return
	case reached, lsn < a.sink.Streamed()+aheadLeast:
		a.behind = time.Time{}
		return
	case a.behind.IsZero():
		a.behind = time.Now()
	}
	if time.Since(a.behind) >= after {
		select {
		case a.wake <- struct{}{}:
		default:
		}
	}
}

// aheadSteady is how long it must have gone on for the next failure to count as
// the first.
const aheadSteady = 5 * time.Second

// Run reads ahead whenever the stream is behind, until ctx ends. What goes
// wrong with that is no reason to end the session.
func (a *Reader) Run(ctx context.Context) error {
	pauses := retry.Backoff{Chance: a.Chance}
	for a.awaitFall(ctx) {
		began := time.Now()
		err := a.read(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			pauses.Reset()
			select {
			case <-a.wake: // it was behind meanwhile
			default:
			}
			continue
		}
		a.Trouble(err)
		if errors.Is(err, errNotUnderstood) {
			return nil
		}
		if time.Since(began) > aheadSteady {
			pauses.Reset()
		}
		if !retry.Wait(ctx, pauses.Next()) {
			return nil
		}
	}
	return nil
}

// awaitFall waits until the stream is behind, and tells whether ctx goes on.
func (a *Reader) awaitFall(ctx context.Context) bool {
	if a.After < 0 {
		return ctx.Err() == nil
	}
	select {
	case <-ctx.Done():
		return false
	case <-a.wake:
		return true
	}
}

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
		if !r.more || time.Since(r.since) >= aheadPublish {
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
	return !c.since.IsZero() && now.Sub(c.since) >= aheadLinger
}
