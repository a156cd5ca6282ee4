package cdc

import (
	"sync"
	"sync/atomic"

	"walpurge/internal/coherence"
	"walpurge/internal/relay"
)

// progress is how far the log has been applied in one session, in which it may
// come from two sources at once: the stream from the slot, and the log that is
// read ahead of it. Each delivers every transaction in the log's order, so
// whichever is first counts, and what comes a second time is skipped.
type progress struct {
	*shared
	writer  *relay.Writer // nil unless this process leads others
	pending *visibility   // what has been applied and may not be visible yet

	mu struct {
		sync.Mutex
		at coherence.LSN // INVARIANT: every transaction that ends at or before it has been delivered
	}
	streamed atomic.Uint64 // LSN up to which the stream has been received
}

// Deliver applies a transaction, and tells whether that had not been done.
func (p *progress) Deliver(tx *coherence.Transaction) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if tx.End <= p.mu.at {
		return false
	}
	p.mu.at = tx.End
	p.receive(tx)
	if !tx.Empty() {
		p.pending.add(tx.CommittedAt)
	}
	return true
}

// Advance notes that everything up to lsn has been delivered.
func (p *progress) Advance(lsn coherence.LSN) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if lsn > p.mu.at {
		p.mu.at = lsn
		p.advance(lsn)
	}
}

// between does what must not be done while something is applied: the guard
// hears from one at a time.
func (p *progress) between(do func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	do()
}

// Applied is how far the log has been applied in this session.
func (p *progress) Applied() coherence.LSN {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.at
}

// Streamed is how far the stream has been received.
func (p *progress) Streamed() coherence.LSN { return coherence.LSN(p.streamed.Load()) }

// stream notes that the stream has been received up to lsn.
func (p *progress) stream(lsn coherence.LSN) {
	if uint64(lsn) > p.streamed.Load() { // there is one receiver
		p.streamed.Store(uint64(lsn))
	}
}

// acknowledge is the position up to which the server may forget (R5). What has
// only been read ahead is kept until the stream has been there too.
func (p *progress) acknowledge() coherence.LSN {
	return min(p.settled(), p.Streamed())
}

// receive is where every transaction from the log goes through.
func (p *progress) receive(tx *coherence.Transaction) {
	p.apply(tx)
	if p.writer != nil {
		p.writer.Transaction(tx)
	}
}

// advance notes that everything up to lsn has come from the log.
func (p *progress) advance(lsn coherence.LSN) {
	p.guard.Advance(lsn)
	if p.writer != nil {
		p.writer.Moved(lsn)
	}
}

// settled is the position up to which everything is visible, and in the relay.
func (p *progress) settled() coherence.LSN {
	if p.writer != nil {
		return min(p.guard.Watermark(), p.writer.Held())
	}
	return p.guard.Watermark()
}
