package cdc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"walpurge/internal/cdc/primary"
	"walpurge/internal/coherence"
)

// What a SELECT gives may change without an event in the stream: partitions
// come and go, a table leaves the publication or is rewritten, a label of an
// enum is renamed, a policy hides rows. So every proof of freshness (R6) also
// says that the catalogue is the one that the guard goes by.
//
// Nothing here takes a lock on a table: pg_partition_tree() and its like would,
// and keep it to the end of the statement; a writer of the application that
// truncates partitions in another order would be cancelled for it. The rows of the
// catalogue say the same.

// A quick look hashes which rows of the catalogue matter and which
// transactions have written them (xmin): a table that was detached, written to and
// attached again between two looks looks as before, and its rows don't. It is
// asked for only where a transaction has ended since the last one, which the snapshot
// tells.
const quickQuery = `WITH RECURSIVE watched AS MATERIALIZED (
  SELECT c.oid, s.oid AS schema, s.xmin AS written FROM unnest($2::text[], $3::text[]) AS w(nspname, relname)
  CROSS JOIN LATERAL (SELECT s.oid, s.xmin FROM pg_namespace s WHERE s.nspname = w.nspname OFFSET 0) AS s
  CROSS JOIN LATERAL (SELECT c.oid FROM pg_class c WHERE c.relnamespace = s.oid AND c.relname = w.relname OFFSET 0) AS c
), member AS MATERIALIZED (
  SELECT oid, ''::text AS joined FROM watched
  UNION ALL SELECT i.inhrelid, i.written FROM member m
   CROSS JOIN LATERAL (SELECT i.inhrelid, concat_ws(' ', i.xmin, i.inhdetachpending) AS written FROM pg_inherits i WHERE i.inhparent = m.oid OFFSET 0) AS i
), pub AS MATERIALIZED (
  SELECT p.oid, p.xmin AS written FROM pg_publication p WHERE p.pubname = $1
), type AS (` + typesOfColumns + `)
SELECT left(md5(concat_ws(E'\n',
 (SELECT concat_ws(' ', oid, written) FROM pub),
 (SELECT string_agg(concat_ws(' ', r.oid, r.xmin), ',' ORDER BY r.oid) FROM pub JOIN pg_publication_rel r ON r.prpubid = pub.oid),
 %s
 (SELECT string_agg(concat_ws(' ', oid, schema, written), ',' ORDER BY oid) FROM watched),
 (SELECT string_agg(concat_ws(' ', m.oid, m.joined, (SELECT concat_ws(' ', c.xmin, (SELECT t.xmin FROM pg_type t WHERE t.oid = c.reltype)) FROM pg_class c WHERE c.oid = m.oid),
    (SELECT string_agg(concat_ws(' ', i.indexrelid, i.xmin), ' ' ORDER BY i.indexrelid) FROM pg_index i WHERE i.indrelid = m.oid AND (i.indisprimary OR i.indisreplident))),
    ',' ORDER BY m.oid, m.joined) FROM member m),
 (SELECT string_agg(concat_ws(' ', (SELECT string_agg(a.xmin::text, ' ' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = w.oid AND a.attnum > 0),
    (SELECT string_agg(concat_ws(' ', d.oid, d.xmin), ' ' ORDER BY d.oid) FROM pg_attrdef d WHERE d.adrelid = w.oid),
    (SELECT string_agg(concat_ws(' ', p.oid, p.xmin), ' ' ORDER BY p.oid) FROM pg_policy p WHERE p.polrelid = w.oid)), ',' ORDER BY w.oid) FROM watched w),
 (SELECT string_agg(concat_ws(' ', y.oid, (SELECT string_agg(concat_ws(' ', e.oid, e.xmin), ' ' ORDER BY e.oid) FROM pg_enum e WHERE e.enumtypid = y.oid),
    (SELECT string_agg(a.xmin::text, ' ' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = (SELECT t.typrelid FROM pg_type t WHERE t.oid = y.oid) AND a.attnum > 0)),
    ',' ORDER BY y.oid) FROM type y)
)), 16)`

// typesOfColumns are the types of the users by which columns of watched tables
// say what they say: base types of domains, elements of arrays, bounds of ranges and
// multiranges, columns of composites.
const typesOfColumns = `
  SELECT a.atttypid AS oid FROM watched w JOIN pg_attribute a ON a.attrelid = w.oid AND a.attnum > 0 WHERE a.atttypid >= 16384
  UNION SELECT x.oid FROM type y CROSS JOIN LATERAL (
    SELECT unnest(ARRAY[t.typbasetype, t.typelem]) FROM pg_type t WHERE t.oid = y.oid
    UNION ALL SELECT r.rngsubtype FROM pg_range r WHERE r.rngtypid = y.oid
    UNION ALL SELECT r.rngtypid FROM pg_range r WHERE r.rngmultitypid = y.oid
    UNION ALL SELECT a.atttypid FROM pg_type t JOIN pg_attribute a ON a.attrelid = t.typrelid AND a.attnum > 0 WHERE t.oid = y.oid AND t.typrelid <> 0
  ) x(oid) WHERE x.oid >= 16384`

// Schemas in publications came with PostgreSQL 15.
const (
	quickSchemas = `(SELECT string_agg(concat_ws(' ', s.oid, s.xmin), ',' ORDER BY s.oid) FROM pub JOIN pg_publication_namespace s ON s.pnpubid = pub.oid),`

	wholeSchemas = `(SELECT string_agg(concat_ws(' ', s.oid, s.xmin), ',' ORDER BY s.oid) FROM pub JOIN pg_publication_namespace s ON s.pnpubid = pub.oid
       WHERE s.pnnspid IN (SELECT c.relnamespace FROM member m JOIN pg_class c ON c.oid = m.oid WHERE m.n = w.n)),`
)

// positionQuery asks how far the log is flushed, and for the snapshot of now;
// probeQuery does, and looks.
const (
	positionQuery = `SELECT pg_current_wal_flush_lsn() || ' ' || pg_current_snapshot()`
	probeQuery    = positionQuery + `, (` + quickQuery + `)`
)

// wholeQuery tells of each table apart what has changed: see [tableLook].
const wholeQuery = `WITH RECURSIVE pub AS MATERIALIZED (
  SELECT p.*, p.xmin AS written FROM pg_publication p WHERE p.pubname = $1
), watched AS MATERIALIZED (
  SELECT w.n, c.oid, s.oid AS schema FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS w(nspname, relname, n)
  JOIN pg_namespace s ON s.nspname = w.nspname JOIN pg_class c ON c.relnamespace = s.oid AND c.relname = w.relname
), member AS MATERIALIZED (
  SELECT n, oid, ''::text AS joined FROM watched
  UNION ALL SELECT m.n, i.inhrelid, concat_ws(' ', i.inhparent, i.xmin, i.inhdetachpending) FROM member m JOIN pg_inherits i ON i.inhparent = m.oid
), type AS (
  SELECT w.n, a.atttypid AS oid FROM watched w JOIN pg_attribute a ON a.attrelid = w.oid AND a.attnum > 0 WHERE a.atttypid >= 16384
  UNION SELECT y.n, x.oid FROM type y CROSS JOIN LATERAL (
    SELECT unnest(ARRAY[t.typbasetype, t.typelem]) FROM pg_type t WHERE t.oid = y.oid
    UNION ALL SELECT r.rngsubtype FROM pg_range r WHERE r.rngtypid = y.oid
    UNION ALL SELECT r.rngtypid FROM pg_range r WHERE r.rngmultitypid = y.oid
    UNION ALL SELECT a.atttypid FROM pg_type t JOIN pg_attribute a ON a.attrelid = t.typrelid AND a.attnum > 0 WHERE t.oid = y.oid AND t.typrelid <> 0
  ) x(oid) WHERE x.oid >= 16384
)
SELECT concat_ws(E'\n',
 coalesce((SELECT md5(concat_ws(' ', oid, written, puballtables, pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot)) FROM pub), ''),
 (SELECT string_agg(concat_ws(' ', w.n,
  -- published
  left(md5(concat_ws(' ', 
   (SELECT string_agg(concat_ws(' ', r.oid, r.xmin), ',' ORDER BY r.oid) FROM pub JOIN pg_publication_rel r ON r.prpubid = pub.oid JOIN member m ON m.oid = r.prrelid AND m.n = w.n),
   %s
   'published')), 16),
  -- meaning
  left(md5(concat_ws(E'\n',
   (SELECT string_agg(concat_ws(' ', c.oid, m.joined, c.relnamespace, c.relname, c.relkind, c.relpersistence, c.relispartition, c.relfilenode,
      c.relowner, c.relrowsecurity, c.relforcerowsecurity, t.xmin), ',' ORDER BY c.oid, m.joined)
    FROM member m JOIN pg_class c ON c.oid = m.oid LEFT JOIN pg_type t ON t.oid = c.reltype WHERE m.n = w.n),
   (SELECT string_agg(concat_ws(' ', a.attnum, a.attname, a.atttypid, a.atttypmod, a.attcollation, a.attgenerated, a.attisdropped,
      CASE WHEN a.attgenerated <> '' THEN (SELECT concat_ws(' ', d.oid, d.xmin) FROM pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum) END), ',' ORDER BY a.attnum)
    FROM pg_attribute a WHERE a.attrelid = w.oid AND a.attnum > 0),
   (SELECT string_agg(concat_ws(' ', p.oid, p.xmin), ',' ORDER BY p.oid) FROM pg_policy p WHERE p.polrelid = w.oid),
   (SELECT string_agg(concat_ws(' ', e.oid, e.enumlabel, e.xmin), ',' ORDER BY e.oid) FROM type y JOIN pg_enum e ON e.enumtypid = y.oid WHERE y.n = w.n),
   (SELECT string_agg(concat_ws(' ', a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod, a.attcollation, a.attisdropped), ',' ORDER BY a.attrelid, a.attnum)
    FROM type y JOIN pg_type t ON t.oid = y.oid JOIN pg_attribute a ON a.attrelid = t.typrelid AND a.attnum > 0 WHERE y.n = w.n AND t.typrelid <> 0)
  )), 16),
  -- identity
  left(md5(concat_ws(E'\n',
   (SELECT string_agg(concat_ws(' ', c.oid, c.relreplident), ',' ORDER BY c.oid) FROM member m JOIN pg_class c ON c.oid = m.oid WHERE m.n = w.n),
   (SELECT string_agg(concat_ws(' ', i.indexrelid, i.indkey, i.indnkeyatts, i.indisprimary, i.indisreplident, i.indimmediate, i.indisvalid), ',' ORDER BY i.indexrelid)
    FROM member m JOIN pg_index i ON i.indrelid = m.oid WHERE m.n = w.n AND (i.indisprimary OR i.indisreplident)))), 16),
  -- written
  left(md5(concat_ws(E'\n',
   (SELECT string_agg(c.xmin::text, ',' ORDER BY c.oid) FROM member m JOIN pg_class c ON c.oid = m.oid WHERE m.n = w.n),
   (SELECT string_agg(a.xmin::text, ',' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = w.oid AND a.attnum > 0),
   (SELECT string_agg(a.xmin::text, ',' ORDER BY a.attrelid, a.attnum)
    FROM type y JOIN pg_type t ON t.oid = y.oid JOIN pg_attribute a ON a.attrelid = t.typrelid AND a.attnum > 0 WHERE y.n = w.n AND t.typrelid <> 0),
   (SELECT s.xmin FROM pg_namespace s WHERE s.oid = w.schema))), 16),
  -- harmless
  left(md5(concat_ws(E'\n',
   (SELECT string_agg(concat_ws(' ', c.relacl, c.reloptions, c.relhasindex, c.relhasrules, c.relhastriggers, c.relhassubclass, c.relchecks,
      c.reltablespace, c.relreplident, c.relam), ',' ORDER BY c.oid) FROM member m JOIN pg_class c ON c.oid = m.oid WHERE m.n = w.n),
   (SELECT string_agg(concat_ws(' ', a.attacl, a.attstattarget, a.atthasdef, a.attstorage, a.attcompression, a.attoptions, a.attnotnull,
      a.attidentity, a.attislocal, a.attinhcount), ',' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = w.oid AND a.attnum > 0),
   (SELECT string_agg(concat_ws(' ', d.oid, d.xmin), ',' ORDER BY d.oid) FROM pg_attrdef d WHERE d.adrelid = w.oid),
   (SELECT string_agg(concat_ws(' ', a.attacl, a.attstattarget, a.atthasdef, a.attstorage, a.attoptions, a.attnotnull, a.attidentity), ',' ORDER BY a.attrelid, a.attnum)
    FROM type y JOIN pg_type t ON t.oid = y.oid JOIN pg_attribute a ON a.attrelid = t.typrelid AND a.attnum > 0 WHERE y.n = w.n AND t.typrelid <> 0),
   (SELECT concat_ws(' ', s.nspacl, s.nspowner) FROM pg_namespace s WHERE s.oid = w.schema))), 16)
 ), E'\n' ORDER BY w.n) FROM watched w))`

// forVersion puts what only some versions have into a query.
func forVersion(version int, query, schemas string) string {
	if version < schemasVersion {
		schemas = ""
	}
	return strings.Replace(query, "%s", schemas, 1)
}

// schemasVersion is PostgreSQL 15.
const schemasVersion = 150000

// tableLook is what a whole look says of one table: hashes of
//
//	published  its place in the publication
//	meaning    what decides what a SELECT on it gives, beside its rows: its partitions, files,
//	           columns, their types, policies; written by whom, where nothing else is written there
//	identity   its replica identity, and those of its partitions
//	written    the transactions that have written the rows that have both meaning and harmless things
//	harmless   what else these rows have: privileges, defaults, statistics targets, storage
type tableLook struct {
	published, meaning, identity, written, harmless string
}

// look is what the catalogue says of the watched tables at one moment.
type look struct {
	publication string
	tables      map[string]tableLook // by name; one that isn't there is not in it
	lost        map[string]string    // tables that can't be followed, by name, and why
	quick       string               // the quick look of the same moment; empty: not known
}

// change is what has become of a table between two looks, the larger the
// more has to be done.
type change int

const (
	unchanged   change = iota
	harmless           // nothing that anybody reads
	reidentify         // what old rows say: decode by the catalogue of now
	reread             // what a SELECT gives: and drop what depends on it
	republished        // the same, once every transaction that was open then has ended
)

// changed compares two looks at a table.
func (l tableLook) changed(now tableLook) change {
	switch {
	case l.published != now.published:
		return republished
	case l.meaning != now.meaning:
		return reread
	case l.identity != now.identity:
		return reidentify
	case l.written == now.written:
		return unchanged
	case l.harmless != now.harmless:
		return harmless
	}
	return reread // G5: written and as before, so it has been something else in between
}

// changed compares what is said of a table in two looks.
func (l *look) changed(table string, now *look) change {
	before, there := l.tables[table]
	after, here := now.tables[table]
	switch {
	case !there && !here:
		return unchanged
	case !there || !here:
		return republished
	}
	return before.changed(after)
}

// same tells whether nothing has changed of the tables named.
func (l *look) same(now *look, tables []coherence.Table) bool {
	if l.publication != now.publication {
		return false
	}
	for i := range tables {
		if _, lost := l.lost[tables[i].Name]; !lost && l.changed(tables[i].Name, now) > harmless {
			return false
		}
	}
	return true
}

// continues tells whether a history whose leader has accepted before can go on
// with l: what has become of single tables can be told from it.
func (l *look) continues(before *look, tables []coherence.Table) bool {
	if before == nil || l.publication != before.publication {
		return false
	}
	for i := range tables {
		_, there := before.tables[tables[i].Name]
		if _, lost := before.lost[tables[i].Name]; !there && !lost {
			return false
		}
	}
	return true
}

// lookMark begins a look as a leader announces it. Older versions announce
// something else, and only compare what they get.
const lookMark = "look 1"

// String is the look as a leader announces it.
func (l *look) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", lookMark, cmp.Or(l.publication, "-"))
	for _, name := range sortedKeys(l.tables) {
		t := l.tables[name]
		fmt.Fprintf(&b, "\n%s %s %s %s %s %s", strconv.Quote(name), t.published, t.meaning, t.identity, t.written, t.harmless)
	}
	for _, name := range sortedKeys(l.lost) {
		fmt.Fprintf(&b, "\n%s lost %s", strconv.Quote(name), strconv.Quote(l.lost[name]))
	}
	return b.String()
}

// parseLook reads what a leader has announced; nil: it is of an older version,
// or none at all.
func parseLook(s string) *look {
	lines := strings.Split(s, "\n")
	publication, ok := strings.CutPrefix(lines[0], lookMark+" ")
	if !ok {
		return nil
	}
	l := &look{publication: publication, tables: make(map[string]tableLook), lost: make(map[string]string)}
	if publication == "-" {
		l.publication = ""
	}
	for _, line := range lines[1:] {
		quoted, err := strconv.QuotedPrefix(line)
		if err != nil {
			return nil
		}
		name, err := strconv.Unquote(quoted)
		if err != nil {
			return nil
		}
		rest := strings.TrimPrefix(line[len(quoted):], " ")
		if why, lost := strings.CutPrefix(rest, "lost "); lost {
			if l.lost[name], err = strconv.Unquote(why); err != nil {
				return nil
			}
			continue
		}
		if l.tables[name], ok = parseTableLook(strings.Fields(rest)); !ok {
			return nil
		}
	}
	return l
}

func parseTableLook(fields []string) (tableLook, bool) {
	if len(fields) != 5 {
		return tableLook{}, false
	}
	return tableLook{fields[0], fields[1], fields[2], fields[3], fields[4]}, true
}

// quickly is a goroutine's quick look at the catalogue, kept for as long as no
// transaction ends.
type quickly struct {
	snapshot, sum string
	moves         bool // a transaction had ended when it was last asked: the small question would be asked in vain
}

// probe asks how far the log is flushed, and looks. The sum is that of a moment
// after the call.
func (q *quickly) probe(ctx context.Context, side *primary.Conn, version int, publication string, watches []Watch) (lsn coherence.LSN, sum string, err error) {
	var text string
	if !q.moves {
		if text, err = side.Text(ctx, positionQuery); err != nil {
			return 0, "", fmt.Errorf("ask for the flush position: %w", err)
		}
	}
	at, snapshot, _ := strings.Cut(text, " ")
	if q.moves || snapshot != q.snapshot {
		before := q.snapshot
		if text, q.sum, err = q.look(ctx, side, version, publication, watches); err != nil {
			return 0, "", err
		}
		at, q.snapshot, _ = strings.Cut(text, " ")
		q.moves = q.snapshot != before
	}
	lsn, err = coherence.ParseLSN(at)
	return lsn, q.sum, err
}

func (q *quickly) look(ctx context.Context, side *primary.Conn, version int, publication string, watches []Watch) (position, sum string, err error) {
	conn, err := side.Open(ctx)
	if err != nil {
		return "", "", err
	}
	ctx, cancel := context.WithTimeout(ctx, primary.QueryTimeout)
	defer cancel()
	q.snapshot = "" // whatever comes of this
	if err := conn.QueryRow(ctx, forVersion(version, probeQuery, quickSchemas), lookArguments(publication, watches)...).Scan(&position, &sum); err != nil {
		return "", "", fmt.Errorf("look at the catalogue: %w", err)
	}
	return position, sum, nil
}

// with is l with other lost tables.
func (l *look) with(lost map[string]string) *look {
	changed := *l
	changed.lost = lost
	return &changed
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// lookArguments are the first three arguments of the queries.
func lookArguments(publication string, watches []Watch) []any {
	var schemas, tables []string
	for i := range watches {
		schema, table := watches[i].names()
		schemas, tables = append(schemas, schema), append(tables, table)
	}
	return []any{publication, schemas, tables}
}

// readLook takes a whole look. In a transaction it belongs to its snapshot.
func readLook(ctx context.Context, q primary.Querier, version int, publication string, watches []Watch) (*look, error) {
	query := "SELECT (" + forVersion(version, quickQuery, quickSchemas) + "), (" + forVersion(version, wholeQuery, wholeSchemas) + ")"
	l := &look{tables: make(map[string]tableLook), lost: make(map[string]string)}
	var text string
	if err := q.QueryRow(ctx, query, lookArguments(publication, watches)...).Scan(&l.quick, &text); err != nil {
		return nil, fmt.Errorf("look at the catalogue: %w", err)
	}
	lines := strings.Split(text, "\n")
	l.publication = lines[0]
	for _, line := range lines[1:] {
		fields := strings.Fields(line)
		n, err := strconv.Atoi(fields[0])
		t, ok := parseTableLook(fields[1:])
		if err != nil || !ok || n < 1 || n > len(watches) {
			return nil, errors.New("look at the catalogue: the answer makes no sense")
		}
		l.tables[watches[n-1].qualified()] = t
	}
	return l, nil
}
