package catalogue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
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

// forVersion puts what only some versions have into a query.
func forVersion(version int, query, schemas string) string {
	if version < SchemasVersion {
		schemas = ""
	}
	return strings.Replace(query, "%s", schemas, 1)
}

// SchemasVersion is PostgreSQL 15.
const SchemasVersion = 150000

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

// Look is what the catalogue says of the watched tables at one moment.
type Look struct {
	publication string
	tables      map[string]tableLook // by name; one that isn't there is not in it
	Lost        map[string]string    // tables that can't be followed, by name, and why
	Quick       string               // the quick look of the same moment; empty: not known
}

// change is what has become of a table between two looks, the larger the
// more has to be done.
type change int

const (
	unchanged   change = iota
	harmless           // nothing that anybody reads
	Reidentify         // what old rows say: decode by the catalogue of now
	Reread             // what a SELECT gives: and drop what depends on it
	Republished        // the same, once every transaction that was open then has ended
)

// changed compares two looks at a table.
func (l tableLook) changed(now tableLook) change {
	switch {
	case l.published != now.published:
		return Republished
	case l.meaning != now.meaning:
		return Reread
	case l.identity != now.identity:
		return Reidentify
	case l.written == now.written:
		return unchanged
	case l.harmless != now.harmless:
		return harmless
	}
	return Reread // G5: written and as before, so it has been something else in between
}

// Changed compares what is said of a table in two looks.
func (l *Look) Changed(table string, now *Look) change {
	before, there := l.tables[table]
	after, here := now.tables[table]
	switch {
	case !there && !here:
		return unchanged
	case !there || !here:
		return Republished
	}
	return before.changed(after)
}

// Published is the table's place in the publication.
func (l *Look) Published(table string) string { return l.tables[table].published }

// Same tells whether nothing has changed of the tables named.
func (l *Look) Same(now *Look, tables []coherence.Table) bool {
	if l.publication != now.publication {
		return false
	}
	for i := range tables {
		if _, lost := l.Lost[tables[i].Name]; !lost && l.Changed(tables[i].Name, now) > harmless {
			return false
		}
	}
	return true
}

// Continues tells whether a history whose leader has accepted before can go on
// with l: what has become of single tables can be told from it.
func (l *Look) Continues(before *Look, tables []coherence.Table) bool {
	if before == nil || l.publication != before.publication {
		return false
	}
	for i := range tables {
		_, there := before.tables[tables[i].Name]
		if _, lost := before.Lost[tables[i].Name]; !there && !lost {
			return false
		}
	}
	return true
}

// lookMark begins a look as a leader announces it. Older versions announce
// something else, and only compare what they get.
const lookMark = "look 1"

// String is the look as a leader announces it.
func (l *Look) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", lookMark, cmp.Or(l.publication, "-"))
	for _, name := range slices.Sorted(maps.Keys(l.tables)) {
		t := l.tables[name]
		fmt.Fprintf(&b, "\n%s %s %s %s %s %s", strconv.Quote(name), t.published, t.meaning, t.identity, t.written, t.harmless)
	}
	for _, name := range slices.Sorted(maps.Keys(l.Lost)) {
		fmt.Fprintf(&b, "\n%s lost %s", strconv.Quote(name), strconv.Quote(l.Lost[name]))
	}
	return b.String()
}

// ParseLook reads what a leader has announced; nil: it is of an older version,
// or none at all.
func ParseLook(s string) *Look {
	lines := strings.Split(s, "\n")
	publication, ok := strings.CutPrefix(lines[0], lookMark+" ")
	if !ok {
		return nil
	}
	l := &Look{publication: publication, tables: make(map[string]tableLook), Lost: make(map[string]string)}
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
			if l.Lost[name], err = strconv.Unquote(why); err != nil {
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

// Glance is a goroutine's quick look at the catalogue, kept for as long as no
// transaction ends.
type Glance struct {
	snapshot, sum string
	moves         bool // a transaction had ended when it was last asked: the small question would be asked in vain
}

// Probe asks how far the log is flushed, and looks. The sum is that of a moment
// after the call.
func (q *Glance) Probe(ctx context.Context, side *primary.Conn, version int, publication string, watches []Watch) (lsn coherence.LSN, sum string, err error) {
	var text string
	if !q.moves {
		if text, err = side.Text(ctx, PositionQuery); err != nil {
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

func (q *Glance) look(ctx context.Context, side *primary.Conn, version int, publication string, watches []Watch) (position, sum string, err error) {
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

// With is l with other lost tables.
func (l *Look) With(lost map[string]string) *Look {
	changed := *l
	changed.Lost = lost
	return &changed
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
func readLook(ctx context.Context, q primary.Querier, version int, publication string, watches []Watch) (*Look, error) {
	query := "SELECT (" + forVersion(version, quickQuery, quickSchemas) + "), (" + forVersion(version, wholeQuery, wholeSchemas) + ")"
	l := &Look{tables: make(map[string]tableLook), Lost: make(map[string]string)}
	var text string
	if err := q.QueryRow(ctx, query, lookArguments(publication, watches)...).Scan(&l.Quick, &text); err != nil {
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

// LookBeside takes a whole look on side.
func LookBeside(ctx context.Context, side *primary.Conn, version int, publication string, watches []Watch) (*Look, error) {
	conn, err := side.Open(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, primary.QueryTimeout)
	defer cancel()
	return readLook(ctx, conn, version, publication, watches)
}
