package pgoutput

import (
	"errors"
	"fmt"

	"walpurge/internal/coherence"
	"walpurge/internal/wire"
)

// The server sends a large transaction while it is still open, in pieces
// between Stream Start and Stream Stop, and at its end a Stream Commit or a
// Stream Abort (https://www.postgresql.org/docs/current/protocol-logical-replication.html#PROTOCOL-LOGICAL-MESSAGES-FLOW).
// Pieces of several transactions, and transactions in one piece, come in
// between. What a transaction touches is remembered until its end: nothing is
// fenced or purged before it has committed (R1), and a stream that breaks is
// forgotten with its decoder, since the slot sends all of it again (R5).
//
// A piece is never the last word on a position: a keepalive between two pieces
// is valid, as each commit before it has been sent, and the commit of what is
// still open lies behind it.

// streamingRoom bounds the bytes that all open transactions together keep.
// What doesn't fit becomes whole tables.
const streamingRoom = 16 << 20

// streaming is what a decoder knows of open transactions.
type streaming struct {
	open map[uint32]*openTransaction // by the top-level transaction's id
	now  *openTransaction            // whose piece is being received; nil: none
	kept int                         // bytes, of all that are open
	room int                         // INVARIANT: between two messages kept ≤ room
}

// openTransaction is a transaction of which something has been streamed.
type openTransaction struct {
	xid       uint32
	tx        *coherence.Transaction
	relations map[uint32]*relation // as this transaction sees them: it may have altered them
	size      int                  // counted in streaming.kept
}

// streamed skips the id of the subtransaction that stands in front of what
// is streamed. A subtransaction that is rolled back stays remembered with the
// rest, which matches more than it has to (G5).
func (d *Decoder) streamed(kind byte, c *wire.Cursor) {
	switch kind {
	case 'R', 'I', 'U', 'D', 'T', 'M', 'Y':
		c.Uint32()
	}
}

// streamStart reads a Stream Start: the id, and whether this is its first
// piece.
func (d *Decoder) streamStart(c *wire.Cursor) error {
	xid, first := c.Uint32(), c.Uint8() != 0
	if c.Short {
		return wire.ErrShort
	}
	s := &d.streaming
	open := s.open[xid]
	switch {
	case d.inside:
		return errors.New("a stream starts inside a transaction")
	case first && open != nil:
		return fmt.Errorf("transaction %d starts twice", xid)
	case !first && open == nil:
		return fmt.Errorf("transaction %d goes on without a start", xid)
	case first:
		open = &openTransaction{xid: xid, tx: coherence.NewTransaction(d.tables, d.bulk), relations: make(map[uint32]*relation)}
		open.tx.Begin(xid, 0, Timestamp(0))
		s.open[xid] = open
	}
	s.now, d.tx, d.inside, d.last = open, open.tx, true, nil
	return nil
}

func (d *Decoder) streamStop() error {
	s := &d.streaming
	if s.now == nil {
		return errors.New("a stream stops that has not started")
	}
	s.now, d.inside, d.last = nil, false, nil
	return nil
}

// streamCommit reads a Stream Commit: id, flags, start and end of the commit
// record, time.
func (d *Decoder) streamCommit(c *wire.Cursor) error {
	xid, _, start, end, at := c.Uint32(), c.Uint8(), c.Uint64(), c.Uint64(), c.Uint64()
	open := d.streaming.open[xid]
	switch {
	case c.Short:
		return wire.ErrShort
	case d.inside:
		return errors.New("a stream commits inside a transaction")
	case open == nil:
		return fmt.Errorf("transaction %d commits without a start", xid)
	case end <= start:
		return fmt.Errorf("a commit from %s to %s", coherence.LSN(start), coherence.LSN(end))
	}
	d.forget(open)
	for _, rel := range open.relations {
		d.describe(rel) // to all, from here on; what it altered is the catalogue's now
	}
	d.tx = open.tx
	d.tx.CommitAt(coherence.LSN(start), coherence.LSN(end), Timestamp(at))
	return nil
}

// streamAbort reads a Stream Abort: the id and that of the subtransaction that
// is rolled back, which is the same for the whole. PostgreSQL 18 may send one
// for a transaction that was never streamed.
func (d *Decoder) streamAbort(c *wire.Cursor) error {
	xid, sub := c.Uint32(), c.Uint32()
	open := d.streaming.open[xid]
	switch {
	case c.Short:
		return wire.ErrShort
	case open == nil || xid != sub:
	case open == d.streaming.now:
		return fmt.Errorf("transaction %d aborts before its stream stops", xid)
	default:
		d.forget(open)
	}
	return nil
}

// forget ends an open transaction.
func (d *Decoder) forget(open *openTransaction) {
	d.streaming.kept -= open.size
	delete(d.streaming.open, open.xid)
}

// makeRoom counts what the piece has added, and turns the largest of the open
// transactions into whole tables until all fit.
func (d *Decoder) makeRoom() {
	s := &d.streaming
	s.count(s.now)
	for s.kept > s.room {
		largest := s.now
		for _, open := range s.open {
			if open.size > largest.size {
				largest = open
			}
		}
		if largest.size == 0 {
			return
		}
		largest.tx.Coarsen()
		s.count(largest)
	}
}

// count counts what open keeps now.
func (s *streaming) count(open *openTransaction) {
	size := open.tx.Size()
	s.kept += size - open.size
	open.size = size
}
