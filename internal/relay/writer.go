package relay

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"walpurge/internal/retry"
)

// Writer writes the relay for one term. The receive loop hands it
// transactions; it batches what has come in while the last entry was on its
// way. Open comes first, then Run, and Leave when that has ended. Run is made of
// Drain, Check and GiveUp, which a model of it calls one by one.
type Writer struct {
	queue
	term    Term
	asked   chan struct{} // of capacity 1: there are requests
	trouble string        // told last

	// Of the goroutine that writes.
	at        End
	unsent    *Entry // taken, and not known to be in the stream
	opened    bool   // an entry of this term is in the stream
	size      int    // of the last entry
	cut       uint64 // where the stream is cut with the unsent entry
	trimmed   bool   // that has been decided
	sentAt    time.Time
	pace      pace      // between two entries, for the sake of Redis
	askedAt   time.Time // whether a follower's strict reads wait
	wanted    bool      // they do
	keyframes uint64    // the sequence of the last
	keyedAt   time.Time // when that was

	requests, answers inbox

	fingerprint atomic.Pointer[string] // to be announced from now on; nil: as before
}

// NewWriter makes the writer of a term.
func NewWriter(t Term) *Writer {
	w := &Writer{term: t, asked: make(chan struct{}, 1), at: t.After}
	w.wake = make(chan struct{}, 1)
	w.pace.most = t.MaxLag / paceFraction
	return w
}

// Open tries once to write the first entry. If that fails otherwise than with
// ErrFenced, it stays the next to be written.
func (w *Writer) Open(ctx context.Context, e *Entry) error {
	w.start(e.Applied)
	return w.add(ctx, e)
}

// errGivenUp says that Redis took nothing for too long.
var errGivenUp = errors.New("redis took no entry of the relay for too long")

// Begun tells whether an entry of this term is in the stream. REQUIRES: Run is
// not running.
func (w *Writer) Begun() bool { return w.opened }

// Unsent tells whether an entry is not known to be in the stream. REQUIRES: Run
// is not running.
func (w *Writer) Unsent() bool { return w.unsent != nil }

// Run writes until ctx ends. It returns ErrFenced when somebody else leads,
// and a BrokenError when the others can't continue the history.
func (w *Writer) Run(ctx context.Context) error {
	err := w.loop(ctx)
	switch {
	case ctx.Err() != nil:
		return nil
	case !errors.Is(err, errGivenUp):
		return err
	}
	w.GiveUp()
	w.term.Logger.Error("the relay is interrupted: other processes will drop what they have cached", "error", err)
	for retry.Wait(ctx, Wait) {
		if _, err := w.term.Stream.Last(ctx); err == nil {
			return &BrokenError{"relay", errors.New("redis is back after the relay was given up")}
		}
	}
	return nil
}

func (w *Writer) loop(ctx context.Context) error {
	if err := w.confirm(ctx); err != nil { // the first of the term
		return err
	}
	timer := time.NewTimer(markPause)
	defer timer.Stop()
	check := time.NewTicker(Wait)
	defer check.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.wake:
		case <-timer.C:
		case <-check.C:
			if err := w.Check(ctx); err != nil {
				return err
			}
		}
		pause, err := w.Drain(ctx)
		if err != nil {
			return err
		}
		if pause > 0 {
			timer.Reset(pause)
		}
	}
}

// confirm writes the entry that is not known to be in the stream, if there is
// one.
func (w *Writer) confirm(ctx context.Context) error {
	if w.unsent == nil {
		return nil
	}
	return w.insist(ctx, w.unsent)
}

// Drain writes what there is. It returns how long to wait for what is not
// worth an entry yet; 0: until somebody says more.
func (w *Writer) Drain(ctx context.Context) (time.Duration, error) {
	if err := w.confirm(ctx); err != nil {
		return 0, err
	}
	for {
		if rest := w.pace.pause() - time.Since(w.sentAt); rest > 0 {
			return rest, nil
		}
		b, ok := w.take()
		if !ok {
			return 0, errGivenUp
		}
		mark := min(w.term.Watermark(), b.applied)
		told := w.answers.take(math.MaxInt)
		anew := b.count == 0 && w.announceAnew() // else it would come before what waits
		if b.count == 0 && len(told) == 0 && !anew {
			since := time.Since(w.sentAt)
			switch moved := b.applied > w.at.Applied || mark > w.at.Watermark; {
			case moved && since < markPause && !w.demanded(ctx):
				return markPause - since, nil
			case !moved && time.Since(w.keyedAt) < heartbeatEvery:
				if w.at.Watermark < w.at.Applied {
					return markPause, nil // something is pending
				}
				return 0, nil
			}
		}
		e := &Entry{Applied: max(b.applied, w.at.Applied), Answered: told, Count: b.count, transactions: b.transactions}
		e.Watermark = min(max(mark, w.at.Watermark), e.Applied)
		if anew {
			e.Announced = w.term.Announced
		}
		if err := w.insist(ctx, e); err != nil {
			return 0, err
		}
	}
}

// Announce changes the fingerprint that is announced, and announces it at once,
// after all transactions that the writer has been handed before.
func (w *Writer) Announce(fingerprint string) {
	w.fingerprint.Store(&fingerprint)
	w.poke()
}

// announceAnew tells whether there is something else to announce than before.
func (w *Writer) announceAnew() bool {
	changed := w.fingerprint.Swap(nil)
	if changed == nil || *changed == w.term.Announced.Fingerprint {
		return false
	}
	a := *w.term.Announced
	a.Fingerprint = *changed
	w.term.Announced = &a
	return true
}

// fill completes an entry to be the next.
func (w *Writer) fill(e *Entry) {
	e.Epoch, e.Prev, e.Nonce, e.From = w.at.Epoch, w.at.Sum, w.term.Nonce, w.at.Applied
	if !e.Begins && (w.at.Seq+1-w.keyframes >= keyframeEvery || time.Since(w.keyedAt) >= heartbeatEvery) {
		e.Announced = w.term.Announced // a keyframe
	}
}

// insist writes an entry and tries again, for as long as the relay's patience
// lasts, when Redis doesn't answer. Its ID makes sure that it is there once.
func (w *Writer) insist(ctx context.Context, e *Entry) error {
	began := time.Now()
	pauses := retry.Backoff{Chance: w.term.Chance}
	for {
		err := w.add(ctx, e)
		var broken *BrokenError
		if err == nil || errors.Is(err, ErrFenced) || errors.As(err, &broken) || ctx.Err() != nil {
			return err
		}
		if text := err.Error(); text != w.trouble {
			w.trouble = text
			w.term.Trouble(err)
		}
		if time.Since(began) >= w.term.Stream.patience || w.abandoned() {
			return fmt.Errorf("%w: %w", errGivenUp, err)
		}
		if !retry.Wait(ctx, min(pauses.Next(), Wait)) {
			return ctx.Err()
		}
	}
}

// add tries once to write an entry. Until that has worked no other may be
// written: it would hide what this one has.
func (w *Writer) add(ctx context.Context, e *Entry) error {
	if e.Epoch == 0 {
		w.fill(e)
	}
	w.unsent = e
	m := Message{w.at.Seq + 1, e.Encode()}
	if !w.trimmed {
		w.cut, w.trimmed = w.term.Stream.trim(e, m.Seq), true
	}
	// Looking back costs what the entry before has cost.
	follows := w.opened && !e.Begins && w.size < lookBack
	err := w.term.Stream.add(ctx, m, w.cut, e.Announced != nil, follows)
	if err != nil && !errors.Is(err, errLost) {
		return err
	}
	w.trimmed, w.size = false, len(m.Blob)
	w.sentAt = time.Now()
	if e.Announced != nil {
		w.keyframes, w.keyedAt = m.Seq, w.sentAt
	}
	w.at = End{m.Seq, m.Sum(), e.Epoch, e.Applied, e.Watermark}
	w.term.Wrote(e, w.at)
	w.term.Stream.Keep(e, m)
	w.unsent, w.opened = nil, true
	w.confirmed(e.Applied)
	w.trouble = ""
	if err != nil {
		return &BrokenError{"redis", err}
	}
	return nil
}

// Check makes sure that the stream ends where it should: Redis may have
// restarted empty, gone back to an old copy, or failed over to one.
func (w *Writer) Check(ctx context.Context) error {
	newest, err := w.term.Stream.Last(ctx)
	if waiting, err := w.term.Stream.Server.Waiting(ctx); err == nil {
		w.pace.counted(waiting)
	}
	if err != nil {
		return nil // the next entry will tell
	}
	w.listen(ctx)
	switch {
	case newest.Seq > w.at.Seq:
		return ErrFenced
	case newest.Seq < w.at.Seq, newest.Blob == nil, newest.Sum() != w.at.Sum:
		return &BrokenError{"redis", errLost}
	}
	return nil
}

// farewellWait bounds what is done for the others at the end of a term.
const farewellWait = 300 * time.Millisecond

// Leave ends the term: what waits is written, and the others learn that the
// slot is about to be free, and whether the history ends: for reason, unless
// that is empty. REQUIRES: nobody else is known to lead.
func (w *Writer) Leave(ctx context.Context, reason string) {
	if w.abandoned() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewellWait)
	defer cancel()
	if w.unsent != nil && w.add(ctx, w.unsent) != nil {
		return
	}
	for {
		b, ok := w.take()
		if !ok {
			return
		}
		e := &Entry{Applied: max(b.applied, w.at.Applied), Count: b.count, transactions: b.transactions}
		e.Watermark = max(min(w.term.Watermark(), e.Applied), w.at.Watermark)
		if b.count == 0 {
			e.Leaves, e.Doubts, e.Reason = true, reason != "", reason
		}
		if w.add(ctx, e) != nil || b.count == 0 {
			return
		}
	}
}
