package cdc

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"sync"

	"github.com/jackc/pgx/v5"

	"walpurge/internal/coherence"
	"walpurge/internal/wal"
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

// baseline knows a transaction id below which all had ended when the log was
// at a position that has been applied.
type baseline struct {
	mu           sync.Mutex
	usable, next oldest
}

// oldest is what a snapshot says: every transaction with an id before xmin had
// ended before lsn.
type oldest struct {
	xmin uint32
	lsn  coherence.LSN
}

const baselineQuery = `SELECT pg_snapshot_xmin(pg_current_snapshot())::text, pg_current_wal_insert_lsn()::text`

// note asks for a newer baseline, unless one is waiting for its position.
func (b *baseline) note(ctx context.Context, q querier, front coherence.LSN) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.promote(front)
	if b.next.lsn != 0 {
		return nil
	}
	var xmin, at string
	if err := q.QueryRow(ctx, baselineQuery).Scan(&xmin, &at); err != nil {
		return fmt.Errorf("ask for the oldest transaction: %w", err)
	}
	id, err := strconv.ParseUint(xmin, 10, 64)
	if err != nil {
		return fmt.Errorf("ask for the oldest transaction: %w", err)
	}
	lsn, err := coherence.ParseLSN(at)
	if err != nil {
		return err
	}
	b.next = oldest{uint32(id), lsn}
	return nil
}

// promote takes the next baseline once its position is reached. REQUIRES: b.mu held.
func (b *baseline) promote(front coherence.LSN) {
	if b.next.lsn != 0 && b.next.lsn <= front {
		b.usable, b.next = b.next, oldest{}
	}
}

// xmin is the id before which all had ended when the log was at front, or 0 if
// that isn't known.
func (b *baseline) xmin(front coherence.LSN) uint32 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.promote(front)
	return b.usable.xmin
}

// verdict is what a file stands for.
type verdict struct {
	table   coherence.TableID
	watched bool // table is known
	nothing bool // it belongs to no watched table
}

// resolver finds what files stand for.
type resolver struct {
	s    *session
	side *side
	seen map[wal.File]verdict
}

func newResolver(s *session, side *side) *resolver {
	return &resolver{s: s, side: side, seen: make(map[wal.File]verdict)}
}

// logFacts is what has to be known to read the log.
type logFacts struct {
	restart       coherence.LSN // of the slot: what commits after what it was acknowledged begins after it
	page, segment int
	database      uint32
}

const logFactsQuery = `SELECT restart_lsn::text, current_setting('wal_block_size')::int, pg_size_bytes(current_setting('wal_segment_size')),
 (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()) FROM pg_replication_slots WHERE slot_name = $1`

func (r *resolver) facts(ctx context.Context) (logFacts, error) {
	var f logFacts
	conn, err := r.side.open(ctx)
	if err != nil {
		return f, err
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	var restart string
	if err := conn.QueryRow(ctx, logFactsQuery, r.s.slot).Scan(&restart, &f.page, &f.segment, &f.database); err != nil {
		return f, fmt.Errorf("ask where the log begins: %w", err)
	}
	f.restart, err = coherence.ParseLSN(restart)
	return f, err
}

// Catalogues have ids below 16384.
const resolveQuery = `SELECT f.space, f.node, c.oid, coalesce(pg_partition_root(c.oid)::oid, c.oid)
FROM unnest($1::oid[], $2::oid[]) AS f(space, node)
JOIN pg_class c ON c.oid = pg_filenode_relation(f.space, f.node) AND c.relfilenode IN (f.node, 0)
WHERE c.oid < 16384 OR age(c.xmin) > age($3::text::xid) AND NOT EXISTS (
 SELECT FROM pg_partition_ancestors(c.oid) AS above JOIN pg_class p ON p.oid = above.relid WHERE age(p.xmin) <= age($3::text::xid))`

// resolve finds what the files of commits stand for. What isn't in the result
// stands for every table. REQUIRES: the log up to the last of them has been read.
func (r *resolver) resolve(ctx context.Context, commits []wal.Commit) (map[wal.File]verdict, error) {
	clear(r.seen)
	xmin := r.s.baseline.xmin(r.s.front.position())
	var spaces, nodes []uint32
	for i := range commits {
		for _, f := range commits[i].Files {
			if _, known := r.seen[f.File]; !known {
				r.seen[f.File] = verdict{}
				spaces, nodes = append(spaces, f.Space), append(nodes, f.Node)
			}
		}
	}
	if len(nodes) == 0 || xmin == 0 {
		return r.seen, nil
	}
	conn, err := r.side.open(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	rows, err := conn.Query(ctx, resolveQuery, spaces, nodes, strconv.FormatUint(uint64(xmin), 10))
	if err != nil {
		return nil, fmt.Errorf("ask which tables files belong to: %w", err)
	}
	var f wal.File
	var oid, root uint32
	_, err = pgx.ForEachRow(rows, []any{&f.Space, &f.Node, &oid, &root}, func() error {
		r.seen[f] = r.s.catalogue.verdict(oid, root)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("ask which tables files belong to: %w", err)
	}
	return r.seen, nil
}

// verdict is what a relation stands for whose topmost partitioned table is
// root. A TOAST table stands for nothing: whoever writes to it writes to its
// table too.
func (c *Catalogue) verdict(oid, root uint32) verdict {
	if t, ok := c.byOID[oid]; ok {
		return verdict{table: t, watched: true}
	}
	if t, ok := c.leaves[oid]; ok {
		return verdict{table: t, watched: true}
	}
	if t, ok := c.byOID[root]; ok {
		return verdict{table: t, watched: true}
	}
	return verdict{nothing: true}
}

// coarse makes r.tx what a commit means.
func (r *reader) coarse(c *wal.Commit, verdicts map[wal.File]verdict) {
	tx := r.tx
	tx.Begin(c.XID, c.Start, timestamp(uint64(c.At)))
	every := c.Everything || len(c.Truncated) > 0
	for i := range c.Files {
		f := &c.Files[i]
		switch v := verdicts[f.File]; {
		case v.watched:
			for op, n := range f.Rows {
				tx.Rows[v.table][op] += n
			}
			tx.Whole(v.table)
		case !v.nothing:
			every = true
		}
	}
	if every {
		for t := range tx.Tables() {
			tx.Whole(coherence.TableID(t))
		}
	}
	r.messages(c)
	tx.Commit(c.End)
}

// messages takes the groups that messages purge, as the decoder does.
func (r *reader) messages(c *wal.Commit) {
	if c.Messaged {
		r.tx.EveryGroup()
		return
	}
	for _, content := range c.Messages {
		for name := range bytes.FieldsSeq(content) {
			r.tx.Group(string(name))
		}
	}
}
