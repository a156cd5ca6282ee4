package catalogue

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// right is what the role may do with a table: DDL wants its ownership, and the
// right to use its schema, since it goes by the table's name. An owner may lack the
// latter.
type right struct {
	schema string
	owned  bool
	usage  bool
}

// RightsQuery asks for the rights of the role on the tables $1.
const RightsQuery = `SELECT c.oid, n.nspname::text, pg_has_role(c.relowner, 'USAGE'), has_schema_privilege(n.oid, 'USAGE')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY($1)`

// readRights finds what the role may do with a watched table and its partitions.
func (ins *Inspection) readRights(ctx context.Context, facts *relationFacts) error {
	oids := make([]uint32, len(facts.members))
	for i := range facts.members {
		oids[i] = facts.members[i].oid
	}
	rows, err := ins.tx.Query(ctx, RightsQuery, oids)
	if err != nil {
		return err
	}
	facts.rights = make(map[uint32]right)
	var oid uint32
	var r right
	_, err = pgx.ForEachRow(rows, []any{&oid, &r.schema, &r.owned, &r.usage}, func() error {
		facts.rights[oid] = r
		return nil
	})
	return err
}

// checkRights refuses what the role may not do with one table; facts is the
// watched one that it belongs to.
func (ins *Inspection) checkRights(facts *relationFacts, m *member, do string) {
	r, known := facts.rights[m.oid]
	switch {
	case !known: // gone: what comes next says so
	case !r.owned:
		ins.forbidden.table(facts.Name, "run setup as the owner of table "+m.name()+printMend, "the role %s may not %s table %s", ins.server.user, do, m.name())
	case !r.usage:
		ins.forbidden.table(facts.Name, "GRANT USAGE ON SCHEMA "+quoteName(r.schema)+" TO "+quoteName(ins.server.user)+printMend,
			"the role %s may not %s table %s, which it owns, because it may not use schema %s", ins.server.user, do, m.name(), r.schema)
	}
}

// checkOwned refuses tables and publications that the role can't alter and
// that must be.
func (ins *Inspection) checkOwned() {
	p := ins.Catalogue.publication
	if p != nil && !p.owned && len(ins.alterStatements()) > 0 {
		ins.forbidden.server("run setup as the owner of publication "+ins.cfg.Publication+printMend, "the role %s may not alter publication %s", ins.server.user, ins.cfg.Publication)
	}
	for t := range ins.Catalogue.relations {
		facts := &ins.Catalogue.relations[t]
		if facts.oid == 0 || len(ins.identityStatements(t)) == 0 {
			continue
		}
		for i := range facts.members {
			if facts.members[i].alters(i) {
				ins.checkRights(facts, &facts.members[i], "alter")
			}
		}
	}
	if p == nil || !p.owned {
		return
	}
	for _, t := range p.missing {
		facts := &ins.Catalogue.relations[t]
		ins.checkRights(facts, &facts.members[0], "publish")
	}
}
