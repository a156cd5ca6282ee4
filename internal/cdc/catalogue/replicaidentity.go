package catalogue

import (
	"context"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"walpurge/internal/cdc/pgoutput"
	"walpurge/internal/identifier"
)

// member is a table that holds rows: the watched table itself, or one of its
// partitions. The watched table comes first, also when it is partitioned and
// holds none.
type member struct {
	oid         uint32
	schema      string
	table       string
	kind        string
	persistence string
	identity    byte
	index       string   // of USING INDEX
	key         []string // columns of the replica identity; empty: there is none that works
}

func (m *member) name() string { return identifier.Table{Schema: m.schema, Name: m.table}.String() }

// full tells whether the old row is logged whole.
func (m *member) full() bool { return m.identity == 'f' }

// usable tells whether UPDATE and DELETE work once the table is published.
func (m *member) usable() bool { return m.full() || len(m.key) > 0 }

// statement sets the replica identity to FULL.
func (m *member) statement() string {
	return "ALTER TABLE " + quoteTable(m.schema, m.table) + " REPLICA IDENTITY FULL"
}

// MembersQuery asks for the tables that hold the rows of $1.
// pg_partition_tree() would lock every partition. A deferrable primary key is no replica identity, and of an index only its
// key columns count, not the included ones.
const MembersQuery = `
WITH RECURSIVE member AS (SELECT $1::oid AS oid, (SELECT relkind = 'p' FROM pg_class WHERE oid = $1) AS partitioned
 UNION SELECT i.inhrelid, m.partitioned FROM member m JOIN pg_inherits i ON i.inhparent = m.oid AND m.partitioned)
SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text, c.relpersistence::text, c.relreplident::text,
 coalesce((SELECT array_agg(a.attname::text ORDER BY k.n) FROM pg_index i
   CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, n)
   JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
   WHERE i.indrelid = c.oid AND k.n <= i.indnkeyatts AND i.indimmediate AND i.indisvalid
     AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END), '{}'),
 coalesce((SELECT x.relname::text FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = c.oid AND i.indisreplident), '')
FROM member m JOIN pg_class c ON c.oid = m.oid JOIN pg_namespace n ON n.oid = c.relnamespace
ORDER BY c.oid <> $1, c.oid`

// readMembers reads the tables that hold the rows of facts and what their old
// rows can be relied on for.
func (ins *Inspection) readMembers(ctx context.Context, facts *relationFacts) error {
	rows, err := ins.tx.Query(ctx, MembersQuery, facts.oid)
	if err != nil {
		return err
	}
	var m member
	var ident string
	if _, err := pgx.ForEachRow(rows, []any{&m.oid, &m.schema, &m.table, &m.kind, &m.persistence, &ident, &m.key, &m.index}, func() error {
		m.identity = ident[0]
		facts.members = append(facts.members, m)
		m.key = nil
		return nil
	}); err != nil {
		return err
	}
	facts.Old = pgoutput.Identity{Full: facts.Replident == 'f', Key: make(map[string]bool)}
	for i := range facts.Columns {
		facts.Old.Key[facts.Columns[i].Name] = true
	}
	for i := range facts.members {
		m := &facts.members[i]
		switch {
		case m.kind == "p" && i > 0: // an inner node of the tree: no rows
		case m.full():
		default:
			key := make(map[string]bool)
			for _, name := range m.key {
				key[name] = true
			}
			facts.Old.Narrow(false, key)
		}
	}
	return nil
}

// checkIdentity refuses tables whose writes would fail once published, and
// lists those that are coarse.
func (ins *Inspection) checkIdentity(w *Watch, facts *relationFacts) {
	usable := true
	for i := range facts.members {
		m := &facts.members[i]
		switch {
		case m.kind == "f":
			ins.refused.table(facts.Name, "detach it, or give the route a ttl and no dependency on "+facts.Name,
				"the partition %s of %s is a foreign table, whose changes are not in this server's WAL", m.name(), facts.Name)
		case m.persistence == "u":
			ins.refused.table(facts.Name, "ALTER TABLE "+quoteTable(m.schema, m.table)+" SET LOGGED",
				"the partition %s of %s is unlogged: its changes are not in the WAL", m.name(), facts.Name)
		case m.kind == "p" && i > 0:
		case !m.usable():
			usable = false
			why := "no primary key that it could use"
			if m.identity == 'n' {
				why = "NOTHING as its replica identity"
			} else if m.identity == 'i' {
				why = "an index as its replica identity that doesn't exist any more"
			}
			refuse, mend := &ins.pending, m.statement()+", or give it a primary key"
			if facts.obstacle != "" {
				refuse, mend = &ins.refused, "give it a primary key (with REPLICA IDENTITY FULL they would fail too, since "+facts.obstacle+")"
			}
			refuse.table(facts.Name, mend, "table %s has %s: once it is published, UPDATE and DELETE on it fail", m.name(), why)
		}
	}
	if missing := facts.unknownBefore(w); usable && len(missing) > 0 {
		ins.Catalogue.Coarse = append(ins.Catalogue.Coarse, CoarseTable{
			Table: facts.Name, Columns: missing, Mend: facts.mendIdentity(),
		})
	}
}

// unknownBefore are the columns of w whose old values are not logged.
func (r *relationFacts) unknownBefore(w *Watch) []string {
	if r.Old.Full {
		return nil
	}
	missing := make(map[string]bool)
	for _, name := range w.Columns {
		if !r.Old.Key[name] {
			missing[name] = true
		}
	}
	return slices.Sorted(maps.Keys(missing))
}

// alters tells whether the i-th member is to be altered for replica identity
// FULL.
func (m *member) alters(i int) bool { return !m.full() && (m.kind != "p" || i == 0) }

// fullStatements set the replica identity to FULL wherever it isn't.
func (r *relationFacts) fullStatements() []string {
	var statements []string
	for i := range r.members {
		if m := &r.members[i]; m.alters(i) {
			statements = append(statements, m.statement())
		}
	}
	return statements
}
