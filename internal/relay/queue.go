package relay

import (
	"sync"

	"walpurge/internal/coherence"
)

// queue is what waits for Redis.
type queue struct {
	wake chan struct{} // of capacity 1

	mu struct {
		sync.Mutex
		batches []batch
		size    int           // bytes in batches
		applied coherence.LSN // INVARIANT: every transaction up to it is in batches or in the stream
		sent    coherence.LSN // the stream's applied position, as confirmed by Redis
		last    coherence.LSN // end of the last transaction taken
		given   bool          // up: Redis took nothing for too long; the epoch is over for the others
	}
}

// batch is the transactions of one entry to be.
type batch struct {
	count        int
	transactions []byte
	applied      coherence.LSN
}

// start begins at a position up to which the stream has everything.
func (q *queue) start(at coherence.LSN) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mu.applied, q.mu.last, q.mu.sent = at, at, at
}

// Transaction takes a transaction that has been applied. It is called by the
// receive loop, as is Moved.
func (q *queue) Transaction(tx *coherence.Transaction) {
	m := &q.mu
	m.Lock()
	defer m.Unlock()
	m.applied = max(m.applied, tx.End)
	if m.given || tx.Empty() || tx.End <= m.last {
		q.poke()
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
	if m.size > queuedBytes {
		q.drop()
	}
	q.poke()
}

// Moved notes that everything up to lsn has been received.
func (q *queue) Moved(lsn coherence.LSN) {
	q.mu.Lock()
	moved := lsn > q.mu.applied
	if moved {
		q.mu.applied = lsn
	}
	q.mu.Unlock()
	if moved {
		q.poke()
	}
}

// Held is what may be acknowledged as far as the relay is concerned (R5).
func (q *queue) Held() coherence.LSN {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.mu.given {
		return q.mu.applied // the primary keeps nothing for a relay that starts anew
	}
	return q.mu.sent
}

// Queued is how many bytes wait for Redis.
func (q *queue) Queued() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.mu.size
}

// GiveUp drops what waits, and takes nothing any more.
func (q *queue) GiveUp() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.drop()
}

func (q *queue) abandoned() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.mu.given
}

// drop drops what waits. REQUIRES: q.mu held.
func (q *queue) drop() { q.mu.given, q.mu.batches, q.mu.size = true, nil, 0 }

func (q *queue) poke() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take removes the next batch; one without transactions says how far the log
// has been received.
func (q *queue) take() (batch, bool) {
	m := &q.mu
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

// confirmed notes that the stream has everything up to lsn.
func (q *queue) confirmed(lsn coherence.LSN) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mu.sent = lsn
}
