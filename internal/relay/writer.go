package cdc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"walpurge/internal/coherence"
)

// relayWriter writes the relay for one term: from taking the slot to losing
// it. The receive loop hands it transactions; it batches what has come in
// while the last entry was on its way.
type relayWriter struct {
	f         *follower
	announced *announcement
	nonce     uint64
	wake      chan struct{} // of capacity 1
	asked     chan struct{} // of capacity 1: there are requests
	trouble   string        // logged last

	// Of the goroutine that writes.
	at        streamEnd
	unsent    *entry // taken, and not known to be in the stream
	opened    bool   // an entry of this term is in the stream
	size      int    // of the last entry
	cut       uint64 // where the stream is cut with the unsent entry
	trimmed   bool   // that has been decided
	sentAt    time.Time
	pace      relayPace // between two entries, for the sake of Redis
	askedAt   time.Time // whether a follower's strict reads wait
	wanted    bool      // they do
	keyframes uint64    // the sequence of the last
	keyedAt   time.Time // when that was

	mu struct {
		sync.Mutex
		batches []batch
		size    int           // bytes in batches
		applied coherence.LSN // INVARIANT: every transaction up to it is in batches or in the stream
		sent    coherence.LSN // the stream's applied position, as confirmed by Redis
		last    coherence.LSN // end of the last transaction taken
		given   bool          // up: Redis took nothing for too long; the epoch is over for the others

		requests []uint64 // for a look at the server
		answers  []uint64 // to requests from before the last look
	}
}

// batch is the transactions of one entry to be.
type batch struct {
	count        int
	transactions []byte
	applied      coherence.LSN
}

// transaction takes a transaction that has been applied. It is called by the
// receive loop, as is moved.
func (w *relayWriter) transaction(tx *coherence.Transaction) {
	m := &w.mu
	m.Lock()
	defer m.Unlock()
	m.applied = max(m.applied, tx.End)
	if m.given || tx.Empty() || tx.End <= m.last {
		w.poke()
		return
	}
	m.last = tx.End
	if n := len(m.batches); n == 0 || len(m.batches[n-1].transactions) > entryBytes {
		m.batches = append(m.batches, batch{})
	}
	b := &m.batches[len(m.batches)-1]
	before := len(b.transactions)
	b.transactions = appendTransaction(b.transactions, tx)
	b.count++
	b.applied = tx.End
	m.size += len(b.transactions) - before
	if m.size > relayBytes {
		w.giveUp()
	}
	w.poke()
}

// moved notes that everything up to lsn has been received.
func (w *relayWriter) moved(lsn coherence.LSN) {
	w.mu.Lock()
	moved := lsn > w.mu.applied
	if moved {
		w.mu.applied = lsn
	}
	w.mu.Unlock()
	if moved {
		w.poke()
	}
}

// held is what may be acknowledged as far as the relay is concerned (R5).
func (w *relayWriter) held() coherence.LSN {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.given {
		return w.mu.applied // the primary keeps nothing for a relay that starts anew
	}
	return w.mu.sent
}

// queued is how many bytes wait for Redis.
func (w *relayWriter) queued() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.size
}

// giveUp drops what waits. REQUIRES: w.mu held.
func (w *relayWriter) giveUp() { w.mu.given, w.mu.batches, w.mu.size = true, nil, 0 }

func (w *relayWriter) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// take removes the next batch; one without transactions says how far the log
// has been received.
func (w *relayWriter) take() (batch, bool) {
	m := &w.mu
	m.Lock()
	defer m.Unlock()
	if m.given {
		return batch{}, false
	}
	if len(m.batches) == 0 {
		return batch{applied: m.applied}, true
	}
	b := m.batches[0]
	m.batches = m.batches[1:]
	m.size -= len(b.transactions)
	if len(m.batches) == 0 {
		b.applied = m.applied
	}
	return b, true
}

// errGivenUp says that Redis took nothing for too long.
var errGivenUp = errors.New("redis took no entry of the relay for too long")

// run writes until ctx ends. It returns errFenced when somebody else leads,
// and a doubt when the others can't continue the history.
func (w *relayWriter) run(ctx context.Context) error {
	err := w.write(ctx)
	switch {
	case ctx.Err() != nil:
		return nil
	case !errors.Is(err, errGivenUp):
		return err
	}
	w.mu.Lock()
	w.giveUp()
	w.mu.Unlock()
	w.f.l.log.Error("the relay is interrupted: other processes will drop what they have cached", "error", err)
	for wait(ctx, relayWait) {
		if _, err := w.f.stream.last(ctx); err == nil {
			return &doubt{"relay", errors.New("redis is back after the relay was given up")}
		}
	}
	return nil
}

func (w *relayWriter) write(ctx context.Context) error {
	if w.unsent != nil { // the first of the term
		if err := w.insist(ctx, w.unsent); err != nil {
			return err
		}
	}
	timer := time.NewTimer(markPause)
	defer timer.Stop()
	check := time.NewTicker(relayWait)
	defer check.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.wake:
		case <-timer.C:
		case <-check.C:
			if err := w.check(ctx); err != nil {
				return err
			}
		}
		pause, err := w.drain(ctx)
		if err != nil {
			return err
		}
		if pause > 0 {
			timer.Reset(pause)
		}
	}
}

// drain writes what there is. It returns how long to wait for what is not
// worth an entry yet; 0: until somebody says more.
func (w *relayWriter) drain(ctx context.Context) (time.Duration, error) {
	for {
		if rest := w.pace.pause() - time.Since(w.sentAt); rest > 0 {
			return rest, nil
		}
		b, ok := w.take()
		if !ok {
			return 0, errGivenUp
		}
		mark := min(w.f.l.guard.Watermark(), b.applied)
		told := w.answers()
		if b.count == 0 && len(told) == 0 {
			since := time.Since(w.sentAt)
			switch moved := b.applied > w.at.applied || mark > w.at.watermark; {
			case moved && since < markPause && !w.demanded(ctx):
				return markPause - since, nil
			case !moved && time.Since(w.keyedAt) < heartbeatEvery:
				if w.at.watermark < w.at.applied {
					return markPause, nil // something is pending
				}
				return 0, nil
			}
		}
		e := &entry{applied: max(b.applied, w.at.applied), count: b.count, transactions: b.transactions}
		e.watermark = min(max(mark, w.at.watermark), e.applied)
		if len(told) > 0 {
			e.flags, e.answered = answers, told
		}
		if err := w.insist(ctx, e); err != nil {
			return 0, err
		}
	}
}

// fill completes an entry to be the next.
func (w *relayWriter) fill(e *entry) {
	e.epoch, e.prev, e.nonce, e.from = w.at.epoch, w.at.sum, w.nonce, w.at.applied
	if e.flags&begins == 0 && (w.at.seq+1-w.keyframes >= keyframeEvery || time.Since(w.keyedAt) >= heartbeatEvery) {
		e.flags |= keyframe
	}
	if e.flags&keyframe != 0 {
		e.announced = w.announced
	}
}

// insist writes an entry and tries again, for as long as the relay's patience
// lasts, when Redis doesn't answer. Its ID makes sure that it is there once.
func (w *relayWriter) insist(ctx context.Context, e *entry) error {
	began := time.Now()
	pauses := backoff{chance: w.f.l.cfg.Chance}
	for {
		err := w.add(ctx, e)
		var doubted *doubt
		if err == nil || errors.Is(err, errFenced) || errors.As(err, &doubted) || ctx.Err() != nil {
			return err
		}
		if text := err.Error(); text != w.trouble {
			w.trouble = text
			w.f.l.trouble("relay", err)
		}
		if time.Since(began) >= w.f.patience() || w.abandoned() {
			return fmt.Errorf("%w: %w", errGivenUp, err)
		}
		if !wait(ctx, min(pauses.next(), relayWait)) {
			return ctx.Err()
		}
	}
}

func (w *relayWriter) abandoned() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.given
}

// add tries once to write an entry. Until that has worked no other may be
// written: it would hide what this one has.
func (w *relayWriter) add(ctx context.Context, e *entry) error {
	if e.epoch == 0 {
		w.fill(e)
	}
	w.unsent = e
	blob := e.encode()
	seq := w.at.seq + 1
	if !w.trimmed {
		w.cut, w.trimmed = w.f.trim(e, seq), true
	}
	// Looking back costs what the entry before has cost.
	follows := w.opened && e.flags&begins == 0 && w.size < lookBack
	err := w.f.stream.add(ctx, seq, blob, w.cut, e.flags&keyframe != 0, follows)
	if err != nil && !errors.Is(err, errLost) {
		return err
	}
	w.trimmed, w.size = false, len(blob)
	w.sentAt = time.Now()
	if e.flags&keyframe != 0 {
		w.keyframes, w.keyedAt = seq, w.sentAt
	}
	w.at = w.f.wrote(e, seq, blob)
	w.unsent, w.opened = nil, true
	w.mu.Lock()
	w.mu.sent = e.applied
	w.mu.Unlock()
	w.trouble = ""
	if err != nil {
		return &doubt{"redis", err}
	}
	return nil
}

// check makes sure that the stream ends where it should: Redis may have
// restarted empty, gone back to an old copy, or failed over to one.
func (w *relayWriter) check(ctx context.Context) error {
	newest, err := w.f.stream.last(ctx)
	if waiting, err := w.f.stream.waiting(ctx); err == nil {
		w.pace.counted(waiting)
	}
	if err != nil {
		return nil // the next entry will tell
	}
	w.listen(ctx)
	switch {
	case newest.seq > w.at.seq:
		return errFenced
	case newest.seq < w.at.seq, newest.blob == nil, checksum(newest.blob) != w.at.sum:
		return &doubt{"redis", errLost}
	}
	return nil
}

// farewellWait bounds what is done for the others at the end of a term.
const farewellWait = 300 * time.Millisecond

// leave ends the term: what waits is written, and the others learn that the
// slot is about to be free, and whether the history ends with err.
func (w *relayWriter) leave(ctx context.Context, err error) {
	if errors.Is(err, errFenced) || w.abandoned() {
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
		e := &entry{applied: max(b.applied, w.at.applied), count: b.count, transactions: b.transactions}
		e.watermark = max(min(w.f.l.guard.Watermark(), e.applied), w.at.watermark)
		var doubted *doubt
		if b.count == 0 {
			e.flags = leaves
			if errors.As(err, &doubted) {
				e.flags |= doubts
				e.reason = doubted.reason
			}
		}
		if w.add(ctx, e) != nil || b.count == 0 {
			return
		}
	}
}
