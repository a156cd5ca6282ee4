package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// What a commit or abort record has beside its time.
const (
	hasDatabase  = 1 << 0
	hasChildren  = 1 << 1
	hasFiles     = 1 << 2
	hasInvalid   = 1 << 3
	hasPrepared  = 1 << 4
	hasOrigin    = 1 << 5
	hasName      = 1 << 7 // of the prepared transaction
	hasDropped   = 1 << 8
	fileSize     = 12
	invalidation = 16
)

// ending is the end of a transaction or of a subtransaction.
type ending struct {
	at       int64 // microseconds since PostgreSQL's epoch, where the transaction comes from
	xid      uint32
	children []byte // ids, four bytes each
}

var errEnding = errors.New("a commit or abort that is too short")

// ending reads a commit or an abort. main is the record's main data.
func (l *Layout) ending(r *Record, main []byte) (ending, error) {
	e := ending{xid: r.xid}
	short := false
	take := func(n int) []byte {
		if n < 0 || n > len(main) {
			short, main = true, nil
			return zeros[:min(max(n, 0), len(zeros))]
		}
		b := main[:n]
		main = main[n:]
		return b
	}
	// list skips a list, of which it returns the items.
	list := func(size int) []byte {
		n := binary.LittleEndian.Uint32(take(4))
		if int64(n)*int64(size) > int64(len(main)) {
			short = true
			return nil
		}
		return take(int(n) * size)
	}
	e.at = int64(binary.LittleEndian.Uint64(take(8)))
	if r.info&xactHasInfo == 0 {
		if short {
			return e, errEnding
		}
		return e, nil
	}
	has := binary.LittleEndian.Uint32(take(4))
	if has&hasDatabase != 0 {
		take(8)
	}
	if has&hasChildren != 0 {
		e.children = list(4)
	}
	if has&hasFiles != 0 {
		list(fileSize)
	}
	if has&hasDropped != 0 {
		if l.dropped == 0 {
			return e, errors.New("it drops statistics, which this version doesn't log")
		}
		list(l.dropped)
	}
	if has&hasInvalid != 0 {
		list(invalidation)
	}
	if has&hasPrepared != 0 {
		e.xid = binary.LittleEndian.Uint32(take(4))
	}
	if has&hasName != 0 {
		take(bytes.IndexByte(main, 0) + 1)
	}
	if has&hasOrigin != 0 {
		take(8) // its position there
		e.at = int64(binary.LittleEndian.Uint64(take(8)))
	}
	if short {
		return e, errEnding
	}
	return e, nil
}
