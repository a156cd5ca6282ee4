package catalogue

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Replica identity FULL logs every column, and the server refuses UPDATE and
// DELETE of a table for which some publication doesn't publish every column of the
// replica identity: one with a column list (since PostgreSQL 15), or without the
// generated columns (since 18, where none that is virtual can be published at all).
// So FULL is set only where it makes no write of the application fail, and a
// publication of ours has generated columns.
// https://www.postgresql.org/docs/18/logical-replication-gencols.html

const (
	columnListVersion = 150000
	generatedVersion  = 180000
)

// How a column is generated, as pg_attribute.attgenerated has it.
const (
	stored  = "s"
	virtual = "v"
)

// generates tells whether the table has a column that is generated in this way.
func (r *relationFacts) generates(how string) bool {
	for i := range r.Columns {
		if r.Columns[i].Generated == how {
			return true
		}
	}
	return false
}

// logsGenerated tells whether the replica identity has a column that is
// generated and stored.
func (r *relationFacts) logsGenerated() bool {
	for i := range r.members {
		m := &r.members[i]
		if m.full() && r.generates(stored) {
			return true
		}
		for _, name := range m.key {
			if c := r.Column(name); c != nil && c.Generated == stored {
				return true
			}
		}
	}
	return false
}

const columnListQuery = `SELECT p.pubname::text FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
WHERE r.prrelid = ANY($1) AND p.pubname <> $2 AND (p.pubupdate OR p.pubdelete) AND r.prattrs IS NOT NULL ORDER BY 1 LIMIT 1`

const ungeneratedQuery = `SELECT p.pubname::text FROM pg_publication p WHERE p.pubname <> $2 AND (p.pubupdate OR p.pubdelete) AND p.pubgencols <> 's' AND (p.puballtables
 OR EXISTS (SELECT FROM pg_publication_rel r WHERE r.prpubid = p.oid AND r.prrelid = ANY($1))
 OR EXISTS (SELECT FROM pg_publication_namespace n JOIN pg_class c ON c.relnamespace = n.pnnspid WHERE n.pnpubid = p.oid AND c.oid = ANY($1)))
ORDER BY 1 LIMIT 1`

// readObstacle finds why replica identity FULL would make writes fail, for
// tables that don't have it yet.
func (ins *Inspection) readObstacle(ctx context.Context, facts *relationFacts) error {
	version := ins.server.version
	if version < columnListVersion || len(facts.fullStatements()) == 0 {
		return nil
	}
	if version >= generatedVersion && facts.generates(virtual) {
		facts.obstacle = "it has a virtual generated column"
		return nil
	}
	other, err := ins.otherPublication(ctx, columnListQuery, facts)
	if err != nil {
		return err
	}
	if other != "" {
		facts.obstacle = "publication " + other + " has a column list for it"
	}
	if version < generatedVersion || !facts.generates(stored) {
		return nil
	}
	if other, err = ins.otherPublication(ctx, ungeneratedQuery, facts); other != "" {
		facts.obstacle = "publication " + other + " doesn't publish its generated columns"
	}
	return err
}

// otherPublication is the first that a query finds for a table; empty: there is none.
func (ins *Inspection) otherPublication(ctx context.Context, query string, facts *relationFacts) (name string, err error) {
	oids := make([]uint32, len(facts.members))
	for i := range facts.members {
		oids[i] = facts.members[i].oid
	}
	err = ins.tx.QueryRow(ctx, query, oids, ins.cfg.Publication).Scan(&name)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	return name, err
}

// mendIdentity is what gives a table a replica identity that works, or ends
// that it is coarse.
func (r *relationFacts) mendIdentity() string {
	if r.obstacle != "" {
		return "nothing that is safe: with REPLICA IDENTITY FULL UPDATE and DELETE on it would fail, since " + r.obstacle
	}
	return strings.Join(r.fullStatements(), "; ")
}

// checkVirtual refuses a table whose writes fail once it is published.
func (ins *Inspection) checkVirtual(facts *relationFacts) {
	if ins.server.version < generatedVersion || !facts.generates(virtual) {
		return
	}
	for i := range facts.members {
		m := &facts.members[i]
		if m.full() && (m.kind != "p" || i == 0) {
			ins.refused.table(facts.Name, "ALTER TABLE "+quoteTable(m.schema, m.table)+" REPLICA IDENTITY DEFAULT, with a primary key",
				"table %s has REPLICA IDENTITY FULL and a virtual generated column: once it is published, UPDATE and DELETE on it fail", m.name())
		}
	}
}
