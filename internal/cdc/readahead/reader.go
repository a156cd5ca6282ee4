package readahead

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"walpurge/internal/cdc/catalogue"
	"walpurge/internal/cdc/primary"
	"walpurge/internal/coherence"
	"walpurge/internal/retry"
)

// The server sends a packet for every row, and one bulk job may take it more
// time than the job itself. While the stream is behind, the same log is read as
// it lies on disk, which takes a small part of that, and what has been
// committed is applied by whole tables (docs/decisions/0009-read-ahead.md).

const (
	least        = 1 << 20              // bytes of log by which it is behind then; less, it has sent in a moment
	linger       = time.Second          // for which the stream has to keep up for reading ahead to end
	publishPause = 5 * time.Millisecond // between two applications while there is more

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
	Primary   primary.Options                   // how it is reached
	Beside    func() *primary.Conn              // makes a connection for queries
	Server    primary.Server                    // the one that the stream comes from
	Slot      string                            // its name; the log is read from its restart_lsn on
	From      coherence.LSN                     // where the stream starts
	After     time.Duration                     // how long the stream may be behind; 0: it may be for ever; negative: the log is read ahead at once
	Interval  time.Duration                     // between two statuses
	Tables    []coherence.Table                 // as the guard knows them
	BulkRows  int                               // see coherence.NewTransaction
	Catalogue func() *catalogue.Catalogue       // what decoding goes by now
	Chance    func(time.Duration) time.Duration // see retry.Backoff
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
	case reached, lsn < a.sink.Streamed()+least:
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

// steady is how long it must have gone on for the next failure to count as
// the first.
const steady = 5 * time.Second

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
