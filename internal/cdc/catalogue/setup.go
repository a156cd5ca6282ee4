package catalogue

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"walpurge/internal/cdc/primary"
)

// Setup makes what a Listener needs and isn't there: the publication, replica
// identity FULL where a declared column's old value or a usable identity is
// missing, and the slot unless it is temporary. It returns the statements. With
// print it only returns them, for whoever may run them: what the role lacks is
// among them. Running it again does nothing. When it fails, what it had done is
// undone.
func Setup(ctx context.Context, cfg Scope, print bool) (statements []string, err error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	conn, err := cfg.Primary().Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	ins, err := cfg.InspectOn(ctx, conn)
	if err != nil {
		return nil, err
	}
	ins.checkOwned()
	refused := ins.refused
	if !print {
		refused = append(refused, ins.forbidden...)
	}
	if err := refused.Err(); err != nil {
		return nil, err
	}
	schema, undo := ins.schemaStatements()
	var slot []string
	if !cfg.Temporary && ins.Catalogue.slot == nil {
		slot = []string{slotStatement(cfg.Slot, ins.server.version)}
	}
	if print {
		if stuck, err := ins.slotIsStuck(ctx, conn); err != nil {
			return nil, err
		} else if stuck {
			slot = again(cfg.Slot, ins.server.version)
		}
		return slices.Concat(ins.server.grants(), inTurn(schema, len(slot) > 0), slot), nil
	}
	statements = append(schema, slot...)
	if err := cfg.runTogether(ctx, conn, schema); err != nil {
		return nil, err
	}
	// The publication comes first: pgoutput looks it up as of each change.
	if stuck, err := ins.slotIsStuck(ctx, conn); err != nil {
		return nil, err
	} else if stuck {
		slot = again(cfg.Slot, ins.server.version)
		statements = slices.Concat(schema, slot)
	}
	for _, s := range slot {
		if err := cfg.execAttended(ctx, conn, s); err != nil {
			return nil, errors.Join(err, cfg.undo(ctx, undo))
		}
	}
	return statements, nil
}

// inTurn is DDL for whoever runs it by hand: each statement by itself, so that
// no lock is kept while another is waited for.
func inTurn(schema []string, slot bool) []string {
	if len(schema) == 0 {
		return nil
	}
	first := "-- Whoever comes to a table after a statement that waits for it waits too. So each gives up soon: where one\n" +
		"-- ends in \"canceling statement due to lock timeout\", run all of this again: a second time does no harm.\n" +
		fmt.Sprintf("SET lock_timeout = '%dms'", lockTimeout.Milliseconds())
	last := "RESET lock_timeout"
	if slot {
		last = "-- The slot is made once all transactions that are open now have ended. Who that is:\n" +
			"-- SELECT pid, usename, application_name, state, xact_start FROM pg_stat_activity WHERE backend_xid IS NOT NULL ORDER BY xact_start\n" + last
	}
	return slices.Concat([]string{first}, schema, []string{last})
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

// identityStatements set the replica identity of one table where it has to be
// set: some declared column's old value is not logged, or nothing is.
func (ins *Inspection) identityStatements(t int) []string {
	r := &ins.Catalogue.relations[t]
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
func (ins *Inspection) schemaStatements() (do, undo []string) {
	for t := range ins.Catalogue.relations {
		r := &ins.Catalogue.relations[t]
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
	p := ins.Catalogue.publication
	name := quoteName(ins.cfg.Publication)
	if p == nil {
		return append(do, ins.createStatement()), append(undo, "DROP PUBLICATION "+name)
	}
	do = append(do, ins.alterStatements()...)
	for _, t := range p.missing {
		r := &ins.Catalogue.relations[t]
		undo = append(undo, "ALTER PUBLICATION "+name+" DROP TABLE "+quoteTable(r.members[0].schema, r.members[0].table))
	}
	if ins.optionsDiffer() {
		undo = append(undo, "ALTER PUBLICATION "+name+" SET ("+p.options()+")")
	}
	return do, undo
}

// undo takes back what was done, on a connection of its own and even when ctx
// has ended.
func (s *Scope) undo(ctx context.Context, statements []string) error {
	if len(statements) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*primary.ConnectTimeout)
	defer cancel()
	conn, err := s.Primary().Connect(ctx)
	if err != nil {
		return fmt.Errorf("undo: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if err := s.runTogether(ctx, conn, statements); err != nil {
		return fmt.Errorf("undo: %w", err)
	}
	return nil
}
