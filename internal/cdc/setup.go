package cdc

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// lockTimeout bounds how long a statement of ours waits for a lock on a
// table: all that comes after it on that table waits too.
const lockTimeout = "5s"

// Setup makes what a Listener needs and isn't there: the publication, replica
// identity FULL where a declared column's old value or a usable identity is
// missing, and the slot unless it is temporary. It returns the statements. With
// print it only returns them, for whoever may run them: what the role lacks is
// among them. Running it again does nothing. When it fails, what it had done is
// undone.
func Setup(ctx context.Context, cfg Config, print bool) (statements []string, err error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	conn, err := cfg.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	ins, err := inspect(ctx, &cfg, conn)
	if err != nil {
		return nil, err
	}
	ins.checkOwned()
	refused := ins.refused
	if !print {
		refused = append(refused, ins.forbidden...)
	}
	if err := refused.err(); err != nil {
		return nil, err
	}
	schema, undo := ins.schemaStatements()
	var slot []string
	if !cfg.Temporary && ins.catalogue.slot == nil {
		slot = []string{slotStatement(cfg.Slot, ins.server.version)}
	}
	if print {
		return slices.Concat(ins.server.grants(), schema, slot), nil
	}
	statements = append(schema, slot...)
	if err := runTogether(ctx, conn, schema); err != nil {
		return nil, err
	}
	// The publication comes first: pgoutput looks it up as of each change.
	for _, s := range slot {
		if _, err := conn.Exec(ctx, s); err != nil {
			err = fmt.Errorf("%s: %w", s, err)
			return nil, errors.Join(err, cfg.undo(ctx, undo))
		}
	}
	return statements, nil
}

// printMend is what else helps when the role lacks a right.
const printMend = ", or let an administrator run what `proxy setup -print` shows"

// grants give the role what it needs to read the log.
func (s *serverFacts) grants() []string {
	switch {
	case s.mayReplicate:
		return nil
	case s.rds:
		return []string{"GRANT rds_replication TO " + quoteName(s.user)}
	}
	return []string{"ALTER ROLE " + quoteName(s.user) + " REPLICATION"}
}

// checkOwned refuses tables and publications that the role can't alter and
// that must be.
func (ins *inspection) checkOwned() {
	p := ins.catalogue.publication
	if p != nil && !p.owned && len(ins.alterStatements()) > 0 {
		ins.forbidden.server("run setup as the owner of publication "+ins.cfg.Publication+printMend, "the role %s may not alter publication %s", ins.server.user, ins.cfg.Publication)
	}
	for t := range ins.catalogue.relations {
		r := &ins.catalogue.relations[t]
		if r.oid != 0 && !r.owned && len(ins.identityStatements(t)) > 0 {
			ins.forbidden.table(r.name, "run setup as the owner of table "+r.name+printMend, "the role %s may not alter table %s", ins.server.user, r.name)
		}
	}
}

// identityStatements set the replica identity of one table where it has to be
// set: some declared column's old value is not logged, or nothing is.
func (ins *inspection) identityStatements(t int) []string {
	r := &ins.catalogue.relations[t]
	needed := len(r.unknownBefore(&ins.cfg.Watches[t])) > 0
	for i := range r.members {
		if m := &r.members[i]; (m.kind != "p" || i == 0) && !m.usable() {
			needed = true
		}
	}
	if !needed || r.obstacle != "" {
		return nil
	}
	return r.fullStatements()
}

// schemaStatements are the DDL, and what takes it back.
func (ins *inspection) schemaStatements() (do, undo []string) {
	for t := range ins.catalogue.relations {
		r := &ins.catalogue.relations[t]
		statements := ins.identityStatements(t)
		if len(statements) == 0 {
			continue
		}
		do = append(do, statements...)
		for i := range r.members {
			m := &r.members[i]
			table := "ALTER TABLE " + quoteTable(m.schema, m.table) + " REPLICA IDENTITY "
			switch m.identity {
			case 'd':
				undo = append(undo, table+"DEFAULT")
			case 'i':
				undo = append(undo, table+"USING INDEX "+quoteName(m.index))
			case 'n':
				undo = append(undo, table+"NOTHING")
			}
		}
	}
	p := ins.catalogue.publication
	name := quoteName(ins.cfg.Publication)
	if p == nil {
		return append(do, ins.createStatement()), append(undo, "DROP PUBLICATION "+name)
	}
	do = append(do, ins.alterStatements()...)
	for _, t := range p.missing {
		r := &ins.catalogue.relations[t]
		undo = append(undo, "ALTER PUBLICATION "+name+" DROP TABLE "+quoteTable(r.members[0].schema, r.members[0].table))
	}
	if ins.optionsDiffer() {
		undo = append(undo, "ALTER PUBLICATION "+name+" SET ("+p.options()+")")
	}
	return do, undo
}

// runTogether runs statements in one transaction.
func runTogether(ctx context.Context, conn *pgx.Conn, statements []string) error {
	return runWithin(ctx, conn, lockTimeout, statements)
}

// runWithin is runTogether with another bound on how long each lock is waited for.
func runWithin(ctx context.Context, conn *pgx.Conn, patience string, statements []string) error {
	if len(statements) == 0 {
		return nil
	}
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = "+quoteText(patience)); err != nil {
			return err
		}
		for _, s := range statements {
			if _, err := tx.Exec(ctx, s); err != nil {
				return fmt.Errorf("%s: %w", s, err)
			}
		}
		return nil
	})
}

// undo takes back what was done, on a connection of its own and even when ctx
// has ended.
func (c *Config) undo(ctx context.Context, statements []string) error {
	if len(statements) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*connectTimeout)
	defer cancel()
	conn, err := c.connect(ctx)
	if err != nil {
		return fmt.Errorf("undo: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if err := runTogether(ctx, conn, statements); err != nil {
		return fmt.Errorf("undo: %w", err)
	}
	return nil
}
