package readahead

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	"walpurge/internal/cdc/primary"
	"walpurge/internal/coherence"
)

// A file's name says nothing. Which table it belongs to is asked of the
// catalogue after the log has been read, and holds for the log that was read if
// nothing about the table has changed since before its first commit.
//
// That shows in its row of pg_class, and those of the partitioned tables above
// it: they were written by transactions that had ended at a position, the
// baseline's, which has been applied. A change that is in the log and not
// visible yet does no harm: it has its locks still, so nobody has written to the
// table under its new role. All other files, such as one that was made a moment
// ago, stand for every table.

// Baseline knows a transaction id below which all had ended when the log was
// at a position that has been applied.
type Baseline struct {
	mu struct {
		sync.Mutex
		usable, next Oldest // INVARIANT: the log has been applied up to usable's position
	}
}

// Oldest is what a snapshot says: every transaction with an id before xmin had
// ended before lsn.
type Oldest struct {
	xmin uint32
	lsn  coherence.LSN
}

const oldestQuery = `SELECT pg_snapshot_xmin(pg_current_snapshot())::text, pg_current_wal_insert_lsn()::text`

// AskOldest asks for a new baseline. What the catalogue says of the watched
// tables has to be read, or found unchanged, after that.
func AskOldest(ctx context.Context, q primary.Querier) (Oldest, error) {
	var xmin, at string
	if err := q.QueryRow(ctx, oldestQuery).Scan(&xmin, &at); err != nil {
		return Oldest{}, fmt.Errorf("ask for the oldest transaction: %w", err)
	}
	id, err := strconv.ParseUint(xmin, 10, 64)
	if err != nil {
		return Oldest{}, fmt.Errorf("ask for the oldest transaction: %w", err)
	}
	lsn, err := coherence.ParseLSN(at)
	return Oldest{uint32(id), lsn}, err
}

// Begin takes the first baseline of a session.
func (b *Baseline) Begin(o Oldest) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.usable, b.mu.next = Oldest{}, o
}

// Accept takes another baseline, which is usable once the log has been applied
// up to its position. While one waits for that, there is no other.
func (b *Baseline) Accept(o Oldest, front coherence.LSN) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.promote(front)
	if b.mu.next.lsn == 0 {
		b.mu.next = o
	}
}

// promote makes the next baseline usable when its position is reached.
// REQUIRES: b.mu held.
func (b *Baseline) promote(front coherence.LSN) {
	if b.mu.next.lsn != 0 && b.mu.next.lsn <= front {
		b.mu.usable, b.mu.next = b.mu.next, Oldest{}
	}
}

// Xmin is the id before which all had ended when the log was at front, or 0 if
// that isn't known.
func (b *Baseline) Xmin(front coherence.LSN) uint32 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.promote(front)
	return b.mu.usable.xmin
}
