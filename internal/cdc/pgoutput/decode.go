package pgoutput

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"walpurge/internal/coherence"
	"walpurge/internal/wire"
)

// Decoder reads pgoutput's protocol version 2 with logical messages and
// streaming (https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html)
// and builds transactions in the order in which they commit. It fails closed:
// whatever it doesn't understand is an error.
//
// Row values reach tx without a copy between; in the steady state a row costs
// no allocation.
type Decoder struct {
	schema    *Schema
	tables    []coherence.Table
	bulk      int
	tx        *coherence.Transaction // what is being filled, or has just been completed
	single    *coherence.Transaction // reused for those that come in one piece
	relations map[uint32]*relation
	last      *relation // the relation of the last change
	identity  []Identity
	inside    bool // between Begin and Commit, or Stream Start and Stream Stop
	suspect   bool // a Relation message disagreed with the catalogue
	streaming streaming

	oldRow, newRow       []datum
	oldValues, newValues []coherence.Value
}

// NewDecoder makes a decoder for one stream. The kinds that the guard
// compares by are those of tables.
func NewDecoder(s *Schema, tables []coherence.Table, bulk int) *Decoder {
	d := &Decoder{
		schema:    s,
		tables:    tables,
		bulk:      bulk,
		single:    coherence.NewTransaction(tables, bulk),
		relations: make(map[uint32]*relation),
		identity:  s.identities(),
		streaming: streaming{open: make(map[uint32]*openTransaction), room: streamingRoom},
	}
	d.tx = d.single
	widest := 0
	for i := range tables {
		widest = max(widest, len(tables[i].Columns))
	}
	d.oldValues, d.newValues = make([]coherence.Value, widest), make([]coherence.Value, widest)
	return d
}

// Decode reads one message. It reports true when it was a Commit or Stream
// Commit: then tx is complete, and valid until the next call.
func (d *Decoder) Decode(msg []byte) (committed bool, err error) {
	c := wire.Cursor{Rest: msg}
	kind := c.Uint8()
	if d.streaming.now != nil {
		d.streamed(kind, &c)
	}
	switch kind {
	case 'B':
		err = d.begin(&c)
	case 'C':
		committed, err = true, d.commit(&c)
	case 'S':
		err = d.streamStart(&c)
	case 'E':
		err = d.streamStop()
	case 'c':
		committed, err = true, d.streamCommit(&c)
	case 'A':
		err = d.streamAbort(&c)
	case 'R':
		err = d.relation(&c)
	case 'I', 'U', 'D':
		err = d.change(kind, &c)
	case 'T':
		err = d.truncate(&c)
	case 'M':
		err = d.message(&c)
	case 'O', 'Y':
		// The origin of a change and the name of a type don't matter here.
		if len(c.Rest) == 0 {
			err = wire.ErrShort
		}
		c.Rest = nil
	default:
		err = errors.New("unknown message")
	}
	switch {
	case err != nil:
	case c.Short:
		err = wire.ErrShort
	case len(c.Rest) > 0:
		err = wire.ErrLong
	}
	if err != nil {
		return false, fmt.Errorf("decode %q: %w", kind, err)
	}
	if d.streaming.now != nil {
		d.makeRoom()
	}
	return committed, nil
}

// Transaction is what a call of Decode has completed. It is valid until the
// next one.
func (d *Decoder) Transaction() *coherence.Transaction { return d.tx }

// Inside tells whether a transaction, or a piece of one, is being received.
func (d *Decoder) Inside() bool { return d.inside }

// Streaming tells whether a piece of a transaction that is still open is being
// received.
func (d *Decoder) Streaming() bool { return d.streaming.now != nil }

// Open is the number of transactions of which something has been streamed
// and whose end hasn't.
func (d *Decoder) Open() int { return len(d.streaming.open) }

// Suspects tells, once, whether a Relation message disagreed with the schema.
func (d *Decoder) Suspects() bool {
	suspect := d.suspect
	d.suspect = false
	return suspect
}

func (d *Decoder) begin(c *wire.Cursor) error {
	start, at, xid := c.Uint64(), c.Uint64(), c.Uint32()
	if c.Short {
		return wire.ErrShort
	}
	if d.inside {
		return errors.New("a transaction begins inside another")
	}
	d.inside = true
	d.tx = d.single
	d.tx.Begin(xid, coherence.LSN(start), Timestamp(at))
	return nil
}

func (d *Decoder) commit(c *wire.Cursor) error {
	_, start, end, _ := c.Uint8(), c.Uint64(), c.Uint64(), c.Uint64()
	switch {
	case c.Short:
		return wire.ErrShort
	case len(c.Rest) > 0:
		return wire.ErrLong
	case !d.inside || d.streaming.now != nil:
		return errors.New("a commit without a begin")
	case coherence.LSN(start) != d.tx.Start || end <= start:
		return fmt.Errorf("the commit from %s to %s is not the one that began, at %s",
			coherence.LSN(start), coherence.LSN(end), d.tx.Start)
	}
	d.inside = false
	d.tx.Commit(coherence.LSN(end))
	return nil
}

// change reads an Insert, Update or Delete.
func (d *Decoder) change(kind byte, c *wire.Cursor) error {
	rel, err := d.find(c.Uint32())
	if err != nil {
		return err
	}
	if rel.unwatched {
		c.Rest = nil
		return nil
	}
	var old byte
	marker := c.Uint8()
	if kind != 'I' && (marker == 'O' || marker == 'K') {
		old = marker
		if d.oldRow, err = tuple(c, rel, d.oldRow); err != nil {
			return err
		}
		if kind == 'U' {
			marker = c.Uint8()
		}
	}
	if kind == 'D' {
		if old == 0 {
			return fmt.Errorf("a deleted row is marked %q", marker)
		}
	} else {
		if marker != 'N' {
			return fmt.Errorf("a new row is marked %q", marker)
		}
		if d.newRow, err = tuple(c, rel, d.newRow); err != nil {
			return err
		}
	}
	if c.Short {
		return wire.ErrShort
	}
	switch kind {
	case 'I':
		d.insert(rel)
	case 'U':
		d.update(rel, old)
	case 'D':
		d.remove(rel, old)
	}
	return nil
}

// find is the relation that a change inside a transaction names.
func (d *Decoder) find(oid uint32) (*relation, error) {
	if !d.inside {
		return nil, errors.New("a change outside a transaction")
	}
	if d.last != nil && d.last.oid == oid {
		return d.last, nil
	}
	rel := d.described(oid)
	if rel == nil {
		return nil, fmt.Errorf("relation %d has not been described", oid)
	}
	d.last = rel
	return rel, nil
}

// truncate reads a Truncate: the number of relations, options, their ids.
func (d *Decoder) truncate(c *wire.Cursor) error {
	n := c.Uint32()
	c.Uint8()
	if int64(n)*4 != int64(len(c.Rest)) {
		return wire.ErrShort
	}
	for range n {
		rel, err := d.find(c.Uint32())
		if err != nil {
			return err
		}
		if !rel.unwatched {
			d.tx.Rows[rel.table][coherence.Truncate]++
			d.tx.Whole(rel.table)
		}
	}
	return nil
}

// message reads a logical message. One that is not transactional has no
// commit, thus no position to purge at, and is ignored.
func (d *Decoder) message(c *wire.Cursor) error {
	flags, _, prefix := c.Uint8(), c.Uint64(), c.ZString()
	content := c.Take(int(int32(c.Uint32())))
	if c.Short {
		return wire.ErrShort
	}
	if flags&1 == 0 || string(prefix) != Prefix {
		return nil
	}
	if !d.inside {
		return errors.New("a transactional message outside a transaction")
	}
	for word := range bytes.FieldsSeq(content) {
		Purge(d.tx, word)
	}
	return nil
}

// PostgresEpoch is the zero of PostgreSQL's timestamps, in microseconds of
// Unix time.
const PostgresEpoch = 946_684_800_000_000

// Timestamp is a time of the server, given in microseconds since PostgresEpoch.
func Timestamp(microseconds uint64) time.Time {
	return time.UnixMicro(int64(microseconds) + PostgresEpoch)
}
