package cdc

import (
	"sync"
	"sync/atomic"

	"walpurge/internal/coherence"
)

// front is how far the log has been applied in one session, in which it may
// come from two sources at once: the stream from the slot, and the log that is
// read ahead of it. Each delivers every transaction in the log's order, so
// whichever is first counts, and what comes a second time is skipped.
type front struct {
	mu sync.Mutex
	at coherence.LSN // INVARIANT: every transaction that ends at or before it has been delivered

	streamed atomic.Uint64 // LSN up to which the stream has been received
}

// deliver applies a transaction, and tells whether that had not been done.
func (s *session) deliver(tx *coherence.Transaction) bool {
	f := &s.front
	f.mu.Lock()
	defer f.mu.Unlock()
	if tx.End <= f.at {
		return false
	}
	f.at = tx.End
	s.l.receive(tx)
	if !tx.Empty() {
		s.visibility.add(tx.CommittedAt)
	}
	return true
}

// advance notes that everything up to lsn has been delivered.
func (s *session) advance(lsn coherence.LSN) {
	f := &s.front
	f.mu.Lock()
	defer f.mu.Unlock()
	if lsn > f.at {
		f.at = lsn
		s.l.advance(lsn)
	}
}

// position is how far the log has been applied in this session.
func (f *front) position() coherence.LSN {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at
}

// stream notes that the stream has been received up to lsn.
func (f *front) stream(lsn coherence.LSN) {
	if uint64(lsn) > f.streamed.Load() { // there is one receiver
		f.streamed.Store(uint64(lsn))
	}
}

// acknowledge is the position up to which the server may forget (R5). What has
// only been read ahead is kept until the stream has been there too.
func (s *session) acknowledge() coherence.LSN {
	return min(s.l.acknowledge(), coherence.LSN(s.front.streamed.Load()))
}
