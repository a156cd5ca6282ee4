package catalogue

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// publication is what the catalogue says of Config.Publication.
type publication struct {
	oid     uint32
	all     bool // FOR ALL TABLES
	insert  bool
	update  bool
	delete  bool
	cut     bool   // truncate
	root    bool   // publish_via_partition_root
	columns string // publish_generated_columns: n or s; empty: it doesn't exist before PostgreSQL 18
	owned   bool   // the role may alter it
	missing []int
}

// publicationOptions are the same wherever a publication is made or set.
func (ins *Inspection) publicationOptions() string {
	options := "publish = 'insert, update, delete, truncate', publish_via_partition_root = true"
	if ins.server.version >= generatedVersion {
		options += ", publish_generated_columns = stored"
	}
	return options
}

// optionsDiffer tells whether the publication's options are not ours.
func (ins *Inspection) optionsDiffer() bool {
	p := ins.Catalogue.publication
	return !p.insert || !p.update || !p.delete || !p.cut || !p.root || p.columns == "n"
}

// options are the publication's own, as SQL.
func (p *publication) options() string {
	var publish []string
	for _, o := range []struct {
		name string
		on   bool
	}{{"insert", p.insert}, {"update", p.update}, {"delete", p.delete}, {"truncate", p.cut}} {
		if o.on {
			publish = append(publish, o.name)
		}
	}
	options := fmt.Sprintf("publish = '%s', publish_via_partition_root = %t", strings.Join(publish, ", "), p.root)
	if p.columns == "n" {
		options += ", publish_generated_columns = none"
	}
	return options
}

// readPublication checks the publication, or that the role could make one.
func (ins *Inspection) readPublication(ctx context.Context) error {
	p := &publication{}
	name := ins.cfg.Publication
	err := ins.tx.QueryRow(ctx, `SELECT oid, puballtables, pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot, pg_has_role(pubowner, 'USAGE'),
 coalesce(to_jsonb(p)->>'pubgencols', '') FROM pg_publication p WHERE pubname = $1`, name).
		Scan(&p.oid, &p.all, &p.insert, &p.update, &p.delete, &p.cut, &p.root, &p.owned, &p.columns)
	if errors.Is(err, pgx.ErrNoRows) {
		ins.checkCreate()
		return nil
	}
	if err != nil {
		return err
	}
	ins.Catalogue.publication = p
	setup := "run `proxy setup -config FILE`"
	if !p.insert || !p.update || !p.delete || !p.cut {
		ins.pending.server(setup, "publication %s doesn't publish insert, update, delete and truncate", name)
	}
	for t := range ins.Catalogue.relations {
		if r := &ins.Catalogue.relations[t]; p.columns == "n" && r.logsGenerated() {
			ins.pending.table(r.Name, setup, "publication %s doesn't publish generated columns, and the replica identity of table %s has one: UPDATE and DELETE on it fail", name, r.Name)
		}
	}
	if err := ins.readPublished(ctx, p); err != nil {
		return err
	}
	partitioned := false
	for t := range ins.Catalogue.relations {
		partitioned = partitioned || ins.Catalogue.relations[t].Partitioned
	}
	if partitioned && !p.root {
		ins.pending.server(setup, "publication %s publishes partitions under their own names: publish_via_partition_root is false", name)
		return nil // what it publishes is not what it will
	}
	for _, t := range p.missing {
		table := ins.Catalogue.relations[t].Name
		ins.pending.table(table, setup, "publication %s doesn't have table %s", name, table)
	}
	return ins.checkFilters(ctx, p)
}

// publishedQuery lists what a publication names: tables, schemas or all. It is
// pg_publication_tables without its locks: since PostgreSQL 16 that view locks
// every table that has no column list, and waits behind whoever has one for
// itself. PostgreSQL 19 has tables that are excepted.
const publishedQuery = `
SELECT c.oid, c.relispartition FROM pg_publication p JOIN pg_class c ON c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND c.oid >= $2
WHERE p.pubname = $1 AND (
 EXISTS (SELECT FROM pg_publication_rel r WHERE r.prpubid = p.oid AND r.prrelid = c.oid AND NOT coalesce((to_jsonb(r)->>'prexcept')::boolean, false))
 %s
 OR p.puballtables AND NOT EXISTS (SELECT FROM pg_publication_rel r WHERE r.prpubid = p.oid AND r.prrelid = c.oid))`

// Schemas in publications came with PostgreSQL 15.
const publishedSchemas = `OR EXISTS (SELECT FROM pg_publication_namespace s WHERE s.pnpubid = p.oid AND s.pnnspid = c.relnamespace)`

// readPublished finds which watched tables the publication has, and what else
// it has.
func (ins *Inspection) readPublished(ctx context.Context, p *publication) error {
	schemas := publishedSchemas
	if ins.server.version < columnListVersion {
		schemas = ""
	}
	rows, err := ins.tx.Query(ctx, fmt.Sprintf(publishedQuery, schemas), ins.cfg.Publication, firstUserOID)
	if err != nil {
		return err
	}
	c := ins.Catalogue
	has := make(map[uint32]bool)
	var oid uint32
	var partition bool
	if _, err := pgx.ForEachRow(rows, []any{&oid, &partition}, func() error {
		has[oid] = true
		if _, watched := c.byOID[oid]; !watched && !partition {
			c.others[oid] = true
		}
		return nil
	}); err != nil {
		return err
	}
	for t := range c.relations {
		if r := &c.relations[t]; r.oid != 0 && !has[r.oid] {
			p.missing = append(p.missing, t)
		}
	}
	return nil
}

// checkFilters refuses row filters and column lists, which hide changes.
func (ins *Inspection) checkFilters(ctx context.Context, p *publication) error {
	rows, err := ins.tx.Query(ctx, `SELECT prrelid, coalesce(to_jsonb(r)->>'prqual', '') <> '', coalesce(to_jsonb(r)->>'prattrs', '') <> ''
FROM pg_publication_rel r WHERE prpubid = $1`, p.oid)
	if err != nil {
		return err
	}
	var oid uint32
	var filter, list bool
	_, err = pgx.ForEachRow(rows, []any{&oid, &filter, &list}, func() error {
		t, watched := ins.Catalogue.byOID[oid]
		if !watched {
			if t, watched = ins.Catalogue.leaves[oid]; !watched {
				return nil
			}
		}
		what := "row filter"
		switch {
		case list:
			what = "column list"
		case !filter:
			return nil
		}
		r := &ins.Catalogue.relations[t]
		quoted := quoteTable(r.members[0].schema, r.members[0].table)
		name := quoteName(ins.cfg.Publication)
		ins.refused.table(r.Name, "ALTER PUBLICATION "+name+" DROP TABLE "+quoted+"; ALTER PUBLICATION "+name+" ADD TABLE "+quoted+
			"; or use a publication of its own for the proxy",
			"publication %s has a %s for table %s, which hides changes", ins.cfg.Publication, what, r.Name)
		return nil
	})
	return err
}

// checkCreate refuses when the publication is missing and the role can't make
// it.
func (ins *Inspection) checkCreate() {
	s := &ins.server
	if s.superuser {
		return
	}
	if !s.mayCreate {
		ins.forbidden.server("as the owner of the database: GRANT CREATE ON DATABASE "+quoteName(s.database)+" TO "+quoteName(s.user)+"; or as the tables' owner: "+ins.createStatement(),
			"publication %s doesn't exist and the role %s may not create it", ins.cfg.Publication, s.user)
		return
	}
	for t := range ins.Catalogue.relations {
		if r := &ins.Catalogue.relations[t]; r.oid != 0 && !r.owned {
			ins.forbidden.table(r.Name, "as the tables' owner: "+ins.createStatement(),
				"publication %s doesn't exist and the role %s may not publish table %s, which it doesn't own", ins.cfg.Publication, s.user, r.Name)
		} else if r.oid != 0 {
			ins.checkRights(r, &r.members[0], "publish")
		}
	}
}

// createStatement makes the publication, without tables that must not be in it.
func (ins *Inspection) createStatement() string {
	var tables []string
	for i := range ins.Catalogue.relations {
		if r := &ins.Catalogue.relations[i]; r.oid != 0 && !r.unfit {
			tables = append(tables, quoteTable(r.members[0].schema, r.members[0].table))
		}
	}
	return "CREATE PUBLICATION " + quoteName(ins.cfg.Publication) + " FOR TABLE " + strings.Join(tables, ", ") +
		" WITH (" + ins.publicationOptions() + ")"
}

// alterStatements make an existing publication what it should be.
func (ins *Inspection) alterStatements() []string {
	p := ins.Catalogue.publication
	name := quoteName(ins.cfg.Publication)
	var statements []string
	if ins.optionsDiffer() {
		statements = append(statements, "ALTER PUBLICATION "+name+" SET ("+ins.publicationOptions()+")")
	}
	for _, t := range p.missing {
		r := &ins.Catalogue.relations[t]
		statements = append(statements, "ALTER PUBLICATION "+name+" ADD TABLE "+quoteTable(r.members[0].schema, r.members[0].table))
	}
	return statements
}
