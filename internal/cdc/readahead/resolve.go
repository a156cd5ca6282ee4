package readahead

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"walpurge/internal/cdc/primary"
	"walpurge/internal/coherence"
	"walpurge/internal/wal"
)

// verdict is what a file stands for.
type verdict struct {
	table   coherence.TableID
	watched bool // table is known
	nothing bool // it belongs to no watched table
}

// resolver finds what files stand for.
type resolver struct {
	a    *Reader
	side *primary.Conn
	seen map[wal.File]verdict
}

func newResolver(a *Reader, side *primary.Conn) *resolver {
	return &resolver{a: a, side: side, seen: make(map[wal.File]verdict)}
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
	conn, err := r.side.Open(ctx)
	if err != nil {
		return f, err
	}
	ctx, cancel := context.WithTimeout(ctx, primary.QueryTimeout)
	defer cancel()
	var restart string
	if err := conn.QueryRow(ctx, logFactsQuery, r.a.Slot).Scan(&restart, &f.page, &f.segment, &f.database); err != nil {
		return f, fmt.Errorf("ask where the log begins: %w", err)
	}
	f.restart, err = coherence.ParseLSN(restart)
	return f, err
}

// Catalogues have ids below 16384. A materialised view is not published, nor a
// TOAST table: whoever writes to one writes to its table too.
const resolveQuery = `SELECT f.space, f.node, c.oid, coalesce(pg_partition_root(c.oid)::oid, c.oid)
FROM unnest($1::oid[], $2::oid[]) AS f(space, node)
JOIN pg_class c ON c.oid = pg_filenode_relation(f.space, f.node) AND c.relfilenode IN (f.node, 0)
WHERE c.oid < 16384 OR c.relkind IN ('m', 't') OR age(c.xmin) > age($3::text::xid) AND NOT EXISTS (
 SELECT FROM pg_partition_ancestors(c.oid) AS above JOIN pg_class p ON p.oid = above.relid WHERE age(p.xmin) <= age($3::text::xid))`

// resolve finds what the files of commits stand for. What isn't in the result
// stands for every table. REQUIRES: the log up to the last of them has been read.
func (r *resolver) resolve(ctx context.Context, commits []wal.Commit) (map[wal.File]verdict, error) {
	clear(r.seen)
	xmin := r.a.state.Baseline.Xmin(r.a.sink.Applied())
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
	conn, err := r.side.Open(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, primary.QueryTimeout)
	defer cancel()
	rows, err := conn.Query(ctx, resolveQuery, spaces, nodes, strconv.FormatUint(uint64(xmin), 10))
	if err != nil {
		return nil, fmt.Errorf("ask which tables files belong to: %w", err)
	}
	var f wal.File
	var oid, root uint32
	_, err = pgx.ForEachRow(rows, []any{&f.Space, &f.Node, &oid, &root}, func() error {
		table, watched := r.a.Catalogue().TableOf(oid, root)
		r.seen[f] = verdict{table: table, watched: watched, nothing: !watched}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("ask which tables files belong to: %w", err)
	}
	return r.seen, nil
}
