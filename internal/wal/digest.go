package wal

import (
	"encoding/binary"
	"errors"

	"walpurge/internal/coherence"
)

// Touched is a file whose heap a transaction has written to, and how many
// rows, as far as the log's records tell: a subtransaction that was rolled back
// is left out.
type Touched struct {
	File
	Rows [coherence.Delete + 1]int // by operation
}

// Commit is a committed transaction, as far as it concerns one database.
type Commit struct {
	XID        uint32 // of the top-level transaction
	Start, End coherence.LSN
	At         int64     // microseconds since PostgreSQL's epoch
	Files      []Touched // tables of any kind, catalogues too
	Truncated  []uint32  // relations, by their ids
	Messages   [][]byte  // contents of the transactional messages that were asked for
	Everything bool      // it may have written to any table
	Messaged   bool      // it may have had any message
}

// Empty tells whether there is nothing in it.
func (c *Commit) Empty() bool {
	return len(c.Files) == 0 && len(c.Truncated) == 0 && len(c.Messages) == 0 && !c.Everything && !c.Messaged
}

// Bounds of what is remembered. Beyond them a transaction may have written to
// any table.
const (
	mostFiles    = 64       // of one transaction
	mostIDs      = 1 << 16  // of transactions and subtransactions that are open
	mostMessages = 64 << 10 // bytes in one transaction
)

// Digest remembers what open transactions have written to.
type Digest struct {
	layout   Layout
	database uint32
	prefix   string // of messages
	open     map[uint32]*writes
	free     []*writes
	lost     bool // an id was not remembered: one that isn't known may be it
	lastID   uint32
	last     *writes // of lastID; nil: look it up
	commit   Commit
}

// writes is what one transaction or subtransaction has written.
type writes struct {
	files      []Touched
	truncated  []uint32
	messages   [][]byte
	bytes      int // of messages
	everything bool
	messaged   bool
}

// NewDigest makes a digest of what happens in a database, and of the
// transactional messages with a prefix.
func NewDigest(layout Layout, database uint32, prefix string) *Digest {
	return &Digest{layout: layout, database: database, prefix: prefix, open: make(map[uint32]*writes)}
}

// Record takes the next record. It returns the transaction that the record
// commits, or nil. The commit is valid until the next call.
func (d *Digest) Record(r *Record) (*Commit, error) {
	switch r.manager {
	case managerHeap:
		return nil, d.heap(r)
	case managerHeap2:
		if r.info&opMask == heapMulti {
			return nil, d.rows(r, coherence.Insert)
		}
	case managerMessage:
		return nil, d.message(r)
	case managerXact:
		return d.xact(r)
	}
	if r.manager >= managerCustom && r.xid != 0 {
		d.of(r.xid).everything = true // only the extension knows what it decodes
	}
	return nil, nil
}

func (d *Digest) heap(r *Record) error {
	switch r.info & opMask {
	case heapInsert:
		return d.rows(r, coherence.Insert)
	case heapUpdate, heapHot:
		return d.rows(r, coherence.Update)
	case heapDelete:
		return d.rows(r, coherence.Delete)
	case heapTruncate:
		return d.truncate(r)
	}
	return nil // confirmations, locks and changes in place, which no row is decoded from
}

// rows takes a record that changes rows of a file.
func (d *Digest) rows(r *Record, op coherence.Op) error {
	first, main, err := r.read(&d.layout)
	switch {
	case err != nil:
		return err
	case !first.there || !first.main:
		return errors.New("it changes rows of no table")
	case first.database != d.database || r.xid == 0:
		return nil
	}
	count := 1
	if r.manager == managerHeap2 && len(main) >= 4 {
		count = int(binary.LittleEndian.Uint16(main[2:]))
	}
	d.of(r.xid).touch(first.file, op, count)
	return nil
}

// truncate reads a truncation: database 4, number of relations 4, flags 1,
// padding 3, ids.
func (d *Digest) truncate(r *Record) error {
	_, main, err := r.read(&d.layout)
	if err != nil {
		return err
	}
	if len(main) < 12 || (len(main)-12)/4 < int(binary.LittleEndian.Uint32(main[4:])) {
		if main == nil && r.total > len(r.data) {
			d.of(r.xid).everything = true // too many to be kept
			return nil
		}
		return errors.New("it is a truncation that is too short")
	}
	if binary.LittleEndian.Uint32(main) != d.database {
		return nil
	}
	w := d.of(r.xid)
	for ids := main[12:][:4*binary.LittleEndian.Uint32(main[4:])]; len(ids) > 0; ids = ids[4:] {
		w.truncated = append(w.truncated, binary.LittleEndian.Uint32(ids))
	}
	if len(w.truncated) > 4*mostFiles {
		w.truncated, w.everything = nil, true
	}
	return nil
}

// message reads a logical message: database 4, transactional 1, padding 3,
// size of the prefix with its zero 8, size of the content 8, both.
func (d *Digest) message(r *Record) error {
	_, main, err := r.read(&d.layout)
	if err != nil {
		return err
	}
	whole := len(r.data) == r.total
	if !whole {
		// It is too large to be kept, whatever it says.
		if r.xid != 0 {
			d.of(r.xid).messaged = true
		}
		return nil
	}
	if len(main) < 24 {
		return errors.New("it is a message that is too short")
	}
	prefix, content := binary.LittleEndian.Uint64(main[8:]), binary.LittleEndian.Uint64(main[16:])
	rest := main[24:]
	if prefix > uint64(len(rest)) || content > uint64(len(rest))-prefix || prefix == 0 {
		return errors.New("it is a message that is too short")
	}
	if binary.LittleEndian.Uint32(main) != d.database || main[4] == 0 || r.xid == 0 || string(rest[:prefix-1]) != d.prefix {
		return nil
	}
	w := d.of(r.xid)
	if w.bytes += int(content) + 1; w.bytes > mostMessages {
		w.messages, w.messaged = nil, true
		return nil
	}
	w.messages = append(w.messages, append([]byte(nil), rest[prefix:prefix+content]...))
	return nil
}

// xact takes a commit or an abort.
func (d *Digest) xact(r *Record) (*Commit, error) {
	op := r.info & opMask
	switch op {
	case xactCommit, xactCommitPrepared, xactAbort, xactAbortPrepared:
	default:
		return nil, nil // prepared, assigned, invalidated
	}
	_, main, err := r.read(&d.layout)
	if err != nil {
		return nil, err
	}
	if len(r.data) < r.total {
		return nil, errLarge
	}
	e, err := d.layout.ending(r, main)
	if err != nil {
		return nil, err
	}
	if op == xactAbort || op == xactAbortPrepared {
		d.forget(e.xid)
		for ids := e.children; len(ids) > 0; ids = ids[4:] {
			d.forget(binary.LittleEndian.Uint32(ids))
		}
		return nil, nil
	}
	c := &d.commit
	*c = Commit{XID: e.xid, Start: r.Start, End: r.End, At: e.at, Files: c.Files[:0], Truncated: c.Truncated[:0]}
	d.take(c, e.xid)
	for ids := e.children; len(ids) > 0; ids = ids[4:] {
		d.take(c, binary.LittleEndian.Uint32(ids))
	}
	return c, nil
}

// CopyFrom makes c the same as other. Their messages are shared.
func (c *Commit) CopyFrom(other *Commit) {
	files, truncated := append(c.Files[:0], other.Files...), append(c.Truncated[:0], other.Truncated...)
	*c = *other
	c.Files, c.Truncated = files, truncated
}
