package coherence

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// LSN is a position in the write-ahead log in bytes. Two positions compare
// only inside one epoch. See https://www.postgresql.org/docs/current/datatype-pg-lsn.html.
type LSN uint64

// String formats l as PostgreSQL does, for instance 16/B374D848.
func (l LSN) String() string {
	return fmt.Sprintf("%X/%X", uint32(l>>32), uint32(l))
}

// ParseLSN reads the form that String writes.
func ParseLSN(s string) (LSN, error) {
	hi, lo, ok := strings.Cut(s, "/")
	if !ok {
		return 0, fmt.Errorf("parse LSN %q: want two hexadecimal numbers with a slash between", s)
	}
	h, err := strconv.ParseUint(hi, 16, 32)
	if err != nil {
		return 0, fmt.Errorf("parse LSN %q: %w", s, err)
	}
	l, err := strconv.ParseUint(lo, 16, 32)
	if err != nil {
		return 0, fmt.Errorf("parse LSN %q: %w", s, err)
	}
	return LSN(h<<32 | l), nil
}

// Epoch names one unbroken history of one cluster. Zero means none: nothing
// is usable before the first epoch.
type Epoch uint64

// String formats e as 16 hexadecimal digits.
func (e Epoch) String() string { return fmt.Sprintf("%016x", uint64(e)) }

// Position is a place in the log of one epoch. Its text is EPOCH.LSN.
type Position struct {
	Epoch Epoch
	LSN   LSN
}

// NeedsField is the request field by which a proxy tells a service with a cache
// of its own how new the response has to be: a Position. One of no epoch is
// covered by nothing: only the database will do.
const NeedsField = "Walpurge-Needs"

// String is the form that header fields carry.
func (p Position) String() string { return p.Epoch.String() + "." + p.LSN.String() }

// errPosition is all there is to say of text that is no position.
var errPosition = errors.New("a position is 16 hexadecimal digits, a dot and an LSN")

// ParsePosition reads the form that String writes.
func ParsePosition(s string) (Position, error) {
	epoch, at, ok := strings.Cut(s, ".")
	if !ok || len(epoch) != 16 {
		return Position{}, errPosition
	}
	e, err := strconv.ParseUint(epoch, 16, 64)
	if err != nil {
		return Position{}, errPosition
	}
	lsn, err := ParseLSN(at)
	if err != nil {
		return Position{}, fmt.Errorf("%w: %w", errPosition, err)
	}
	return Position{Epoch(e), lsn}, nil
}

// Nanos is a point on the monotonic clock of this process in nanoseconds.
// Its zero is the caller's; only differences count.
type Nanos int64

// Snapshot is what pg_current_snapshot() says: every transaction before XMin
// is finished, none at or after XMax had been, and InProgress holds the
// unfinished ones between. See
// https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SNAPSHOT.
type Snapshot struct {
	XMin, XMax uint64
	InProgress []uint64 // ascending
}

// ParseSnapshot reads the text form xmin:xmax:xip,xip,….
func ParseSnapshot(s string) (Snapshot, error) {
	var snap Snapshot
	parts := strings.Split(s, ":")
	if len(parts) != 3 {
		return snap, fmt.Errorf("parse snapshot %q: want three parts", s)
	}
	var err error
	if snap.XMin, err = strconv.ParseUint(parts[0], 10, 64); err != nil {
		return snap, fmt.Errorf("parse snapshot %q: %w", s, err)
	}
	if snap.XMax, err = strconv.ParseUint(parts[1], 10, 64); err != nil {
		return snap, fmt.Errorf("parse snapshot %q: %w", s, err)
	}
	if parts[2] == "" {
		return snap, nil
	}
	for x := range strings.SplitSeq(parts[2], ",") {
		v, err := strconv.ParseUint(x, 10, 64)
		if err != nil {
			return snap, fmt.Errorf("parse snapshot %q: %w", s, err)
		}
		snap.InProgress = append(snap.InProgress, v)
	}
	return snap, nil
}

// Finished tells whether the transaction with the 32-bit id xid had ended
// when the snapshot was taken. pgoutput gives ids of 32 bits and snapshots
// 64, so the comparison is modulo 2^32 around XMax (R4).
func (s Snapshot) Finished(xid uint32) bool {
	if int32(xid-uint32(s.XMax)) >= 0 {
		return false
	}
	for _, x := range s.InProgress {
		if uint32(x) == xid {
			return false
		}
	}
	return true
}
