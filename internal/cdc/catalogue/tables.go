package catalogue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"walpurge/internal/cdc/pgoutput"
	"walpurge/internal/coherence"
	"walpurge/internal/identifier"
)

// firstUserOID is where the objects of users begin; those below are the
// catalogue's own.
const firstUserOID = 16384

// TableQuery asks for the table $2 of the schema $1.
const TableQuery = `
SELECT c.oid, c.relkind::text, c.relpersistence::text, c.relreplident::text, c.relispartition,
 pg_has_role(c.relowner, 'USAGE'),
 coalesce((SELECT ARRAY[n2.nspname::text, p.relname::text] FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent
   JOIN pg_namespace n2 ON n2.oid = p.relnamespace WHERE i.inhrelid = c.oid LIMIT 1), '{"",""}'),
 c.relkind <> 'p' AND EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind NOT IN ('i', 'I', 'c', 't', 'S')`

// tableRow is one row of TableQuery.
type tableRow struct {
	oid                         uint32
	kind, persistence, identity string
	partition, owned            bool
	parent                      []string // schema and name
	inherited                   bool
}

func (ins *Inspection) readTable(ctx context.Context, w *Watch) error {
	var named identifier.Table
	named.Schema, named.Name = w.names()
	facts := relationFacts{Relation: pgoutput.Relation{Name: named.String()}}
	table := coherence.Table{Name: facts.Name}
	id := coherence.TableID(len(ins.Catalogue.Tables))
	defer func() {
		ins.Catalogue.Tables = append(ins.Catalogue.Tables, table)
		ins.Catalogue.relations = append(ins.Catalogue.relations, facts)
		ins.Catalogue.byName[facts.Name] = id
	}()

	var t tableRow
	err := ins.tx.QueryRow(ctx, TableQuery, named.Schema, named.Name).Scan(&t.oid, &t.kind, &t.persistence, &t.identity,
		&t.partition, &t.owned, &t.parent, &t.inherited)
	if errors.Is(err, pgx.ErrNoRows) {
		return ins.missingTable(ctx, named)
	}
	if err != nil {
		return err
	}
	if !ins.checkTable(named, &t) {
		return nil
	}
	facts.oid, facts.Replident = t.oid, t.identity[0]
	facts.Partitioned, facts.owned = t.kind == "p", t.owned
	ins.Catalogue.byOID[t.oid] = id
	if err := ins.readColumns(ctx, w, &facts, &table); err != nil {
		return err
	}
	if err := ins.readMembers(ctx, &facts); err != nil {
		return err
	}
	if err := ins.readRights(ctx, &facts); err != nil {
		return err
	}
	if err := ins.readObstacle(ctx, &facts); err != nil {
		return err
	}
	for i := range facts.members {
		if m := &facts.members[i]; m.oid != t.oid {
			ins.Catalogue.leaves[m.oid] = id
		}
	}
	ins.checkIdentity(w, &facts)
	ins.checkVirtual(&facts)
	return nil
}

// missingTable refuses a table that isn't there, and names those that might
// have been meant.
func (ins *Inspection) missingTable(ctx context.Context, named identifier.Table) error {
	rows, err := ins.tx.Query(ctx, `SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.oid >= $1 AND n.nspname !~ '^pg_' ORDER BY 1, 2 LIMIT 10000`, firstUserOID)
	if err != nil {
		return err
	}
	known, err := pgx.CollectRows(rows, pgx.RowToStructByPos[identifier.Table])
	if err != nil {
		return err
	}
	var here []string
	var elsewhere []identifier.Table
	for _, k := range known {
		switch {
		case k.Schema == named.Schema:
			here = append(here, k.Name)
		case k.Name == named.Name, k.Schema+"."+k.Name == named.Schema+"."+named.Name: // or cut at another dot
			elsewhere = append(elsewhere, k)
		}
	}
	var similar []string
	for _, table := range nearest(named.Name, here) {
		similar = append(similar, identifier.InFile(identifier.Table{Schema: named.Schema, Name: table}.String()))
	}
	for _, k := range elsewhere {
		similar = append(similar, identifier.InFile(k.String()))
	}
	ins.refused.table(named.String(), didYouMean(similar, "create it, or correct the name in the configuration"),
		"table %s doesn't exist in database %s", named, ins.server.database)
	return nil
}

// inFile writes columns as the configuration has them.
func inFile(columns []string) []string {
	written := make([]string, len(columns))
	for i, c := range columns {
		written[i] = identifier.InFile(identifier.Quote(c))
	}
	return written
}

func didYouMean(similar []string, otherwise string) string {
	if len(similar) == 0 {
		return otherwise
	}
	return "did you mean " + strings.Join(similar, " or ") + "?"
}

// checkTable refuses what emits no row changes of its own.
func (ins *Inspection) checkTable(named identifier.Table, t *tableRow) bool {
	name := named.String()
	refuse := func(mend, format string, args ...any) bool {
		ins.refused.table(name, mend, "%s %s", name, fmt.Sprintf(format, args...))
		return false
	}
	switch t.kind {
	case "v":
		return refuse("depend on the tables that it reads", "is a view, which has no row changes")
	case "m":
		return refuse("depend on the tables that it reads, with a ttl as long as it may lag behind them", "is a materialised view, which has no row changes")
	case "f":
		return refuse("depend on the table in the database that holds it, or give the route a ttl", "is a foreign table, whose changes are not in this server's WAL")
	case "r", "p":
	default:
		return refuse("depend on a table", "is not a table")
	}
	switch {
	case t.oid < firstUserOID:
		return refuse("depend on a table of your own", "belongs to the system catalogue, which is not published")
	case t.persistence == "u":
		return refuse("ALTER TABLE "+quoteTable(named.Schema, named.Name)+" SET LOGGED", "is unlogged: its changes are not in the WAL")
	case t.persistence == "t":
		return refuse("depend on a permanent table", "is a temporary table: its changes are not in the WAL")
	case t.partition:
		parent := identifier.Table{Schema: t.parent[0], Name: t.parent[1]}.String()
		return refuse("depend on "+identifier.InFile(parent), "is a partition of %s, and changes are published in the name of the latter", parent)
	case t.inherited:
		return refuse("use declarative partitioning, or depend on the table and each child in one route",
			"has children by INHERITS, whose rows it shows and whose changes it doesn't")
	}
	return true
}

// ColumnsQuery asks for the columns of the table $1. Domains are followed to their base type. to_jsonb reads the columns that
// only some versions have.
const ColumnsQuery = `
SELECT a.attname::text, a.atttypid, a.attgenerated::text,
 CASE WHEN bn.nspname = 'pg_catalog' AND b.typtype = 'b' THEN b.typname::text
      WHEN b.typname = 'citext' AND EXISTS (SELECT FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
        WHERE d.classid = 'pg_type'::regclass AND d.objid = b.oid AND d.refclassid = 'pg_extension'::regclass
          AND d.deptype = 'e' AND e.extname = 'citext') THEN 'citext' ELSE '' END,
 b.typtype = 'e', ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = b.oid ORDER BY 1),
 coalesce(co.collisdeterministic, true),
 coalesce(CASE WHEN co.collprovider = 'd' THEN db.bytewise
      ELSE co.collprovider = 'b' OR co.collprovider = 'c' AND co.collcollate IN ('C', 'POSIX') END, false),
 coalesce(CASE WHEN b.typname = 'citext' OR co.collprovider = 'd' THEN db.locale
      ELSE coalesce(to_jsonb(co)->>'colllocale', to_jsonb(co)->>'colliculocale', co.collctype::text) END, '')
FROM pg_attribute a
CROSS JOIN LATERAL (WITH RECURSIVE base AS (
   SELECT t.oid, t.typtype, t.typbasetype FROM pg_type t WHERE t.oid = a.atttypid
   UNION ALL SELECT t.oid, t.typtype, t.typbasetype FROM base JOIN pg_type t ON t.oid = base.typbasetype WHERE base.typtype = 'd')
   SELECT oid FROM base WHERE typtype <> 'd') AS resolved
JOIN pg_type b ON b.oid = resolved.oid
JOIN pg_namespace bn ON bn.oid = b.typnamespace
LEFT JOIN pg_collation co ON co.oid = a.attcollation
CROSS JOIN (SELECT
   CASE coalesce(to_jsonb(d)->>'datlocprovider', 'c') WHEN 'b' THEN true WHEN 'c' THEN d.datcollate IN ('C', 'POSIX') ELSE false END AS bytewise,
   coalesce(to_jsonb(d)->>'datlocale', to_jsonb(d)->>'daticulocale', d.datctype::text) AS locale
   FROM pg_database d WHERE d.datname = current_database()) AS db
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`

func (ins *Inspection) readColumns(ctx context.Context, w *Watch, facts *relationFacts, table *coherence.Table) error {
	rows, err := ins.tx.Query(ctx, ColumnsQuery, facts.oid)
	if err != nil {
		return err
	}
	types := make(map[string]columnType)
	var names []string
	var c pgoutput.Column
	var t columnType
	_, err = pgx.ForEachRow(rows, []any{&c.Name, &c.Type, &c.Generated, &t.base, &t.enum, &t.labels, &t.deterministic, &t.bytewise, &t.locale}, func() error {
		t.generated, t.folded = c.Generated != "", slices.Contains(w.Folded, c.Name)
		facts.Columns = append(facts.Columns, c)
		names = append(names, c.Name)
		types[c.Name] = t
		return nil
	})
	if err != nil {
		return err
	}
	for _, name := range w.Columns {
		t, ok := types[name]
		if !ok {
			ins.refused.column(facts.Name, name, didYouMean(inFile(nearest(name, names)), "the columns are "+strings.Join(inFile(names), ", ")),
				"table %s has no column %s", facts.Name, identifier.Quote(name))
		}
		kind := t.kind(ins.server.exactText)
		table.Columns = append(table.Columns, coherence.Column{Name: name, Kind: kind, Labels: t.labels, Twin: twin(name, names)})
		facts.Watched = append(facts.Watched, pgoutput.WatchedColumn{Name: name, Wanted: slices.Contains(w.Conditions, name) && kind != coherence.Opaque})
	}
	return nil
}

// twin tells whether another of the names is name in another letter case.
func twin(name string, names []string) bool {
	key := strings.ToLower(name)
	return slices.ContainsFunc(names, func(n string) bool { return n != name && strings.ToLower(n) == key })
}
