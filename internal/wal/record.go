package wal

import (
	"encoding/binary"
	"errors"
	"fmt"

	"walpurge/internal/coherence"
)

// A record's header: length 4, transaction 4, start of the record before 8,
// info 1, resource manager 1, padding 2, checksum 4.
const (
	headerSize    = 24
	managerOffset = 17
	sumOffset     = 20
	align         = 8
)

// Resource managers, and what their records do: the upper half of info.
const (
	managerLog     = 0
	managerXact    = 1
	managerHeap2   = 9
	managerHeap    = 10
	managerMessage = 21
	managerCustom  = 128 // the first of those that extensions bring, since PostgreSQL 15

	logSwitch = 0x40 // the rest of the segment is empty

	opMask       = 0x70 // the highest bit is a flag of Heap, Heap2 and Xact
	heapInsert   = 0x00
	heapDelete   = 0x10
	heapUpdate   = 0x20
	heapTruncate = 0x30
	heapHot      = 0x40
	heapMulti    = 0x50 // of Heap2

	xactCommit         = 0x00
	xactAbort          = 0x20
	xactCommitPrepared = 0x30
	xactAbortPrepared  = 0x40
	xactHasInfo        = 0x80
)

// Record is one record of the log.
type Record struct {
	Start, End coherence.LSN

	xid     uint32 // 0: none
	info    byte   // without the bits that are the log's own
	manager byte
	total   int    // its length
	data    []byte // its beginning
}

// open reads the header.
func (r *Record) open(data []byte, total int) (previous coherence.LSN, sum uint32) {
	r.xid = binary.LittleEndian.Uint32(data[4:])
	r.info, r.manager = data[16]&0xF0, data[managerOffset]
	r.total, r.data = total, data
	return coherence.LSN(binary.LittleEndian.Uint64(data[8:])), binary.LittleEndian.Uint32(data[sumOffset:])
}

// kept is how much of a record of a resource manager is kept.
func kept(manager byte) int {
	if manager == managerXact || manager == managerMessage {
		return keptOfWhole
	}
	return keptOfMost
}

// File is where a table's rows lie.
type File struct{ Space, Node uint32 }

// block is what the first block reference says.
type block struct {
	there    bool
	database uint32
	file     File
	main     bool // it is the table's main fork
}

// Headers inside a record.
const (
	highestBlock = 32
	idTopLevel   = 252
	idOrigin     = 253
	idLong       = 254
	idShort      = 255

	hasImage    = 0x10
	sameFile    = 0x80
	forkMask    = 0x0F
	imageHole   = 0x01
	imageHeader = 5
)

var (
	errTruncated = errors.New("its headers don't end inside it")
	errLarge     = errors.New("it is larger than such a record can be")
)

// read reads the headers: the first block reference, and the main data, which
// is nil unless all of the record has been kept.
func (r *Record) read(l *Layout) (first block, main []byte, err error) {
	rest := r.data[headerSize:]
	take := func(n int) []byte {
		if n > len(rest) {
			err = errTruncated
			return zeros[:n]
		}
		b := rest[:n]
		rest = rest[n:]
		return b
	}
	bodies, mainSize := 0, 0 // bytes that follow the headers, and how many of them are main data
	left := func() int { return r.total - len(r.data) + len(rest) }
headers:
	for err == nil && left() > bodies {
		switch id := take(1)[0]; id {
		case idShort:
			mainSize = int(take(1)[0])
			bodies += mainSize
			break headers
		case idLong:
			mainSize = int(binary.LittleEndian.Uint32(take(4)))
			bodies += mainSize
			break headers
		case idOrigin:
			take(2)
		case idTopLevel:
			take(4)
		default:
			if id > highestBlock {
				return first, nil, fmt.Errorf("it has a header of kind %d", id)
			}
			b := take(3)
			flags := b[0]
			bodies += int(binary.LittleEndian.Uint16(b[1:]))
			if flags&hasImage != 0 {
				image := take(imageHeader)
				bodies += int(binary.LittleEndian.Uint16(image))
				if image[4]&imageHole != 0 && image[4]&l.packed != 0 {
					take(2)
				}
			}
			if flags&sameFile == 0 {
				b := take(12)
				if !first.there {
					first.there, first.main = true, flags&forkMask == 0
					first.file.Space, first.database, first.file.Node = binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:]), binary.LittleEndian.Uint32(b[8:])
				}
			} else if !first.there {
				return first, nil, errors.New("its first block has no file")
			}
			take(4)
		}
	}
	switch {
	case err != nil:
		return first, nil, err
	case left() != bodies:
		return first, nil, errTruncated
	case len(r.data) == r.total:
		main = r.data[r.total-mainSize:]
	}
	return first, main, nil
}

var zeros [12]byte
