package catalogue

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"walpurge/internal/cdc/pgoutput"

	"github.com/jackc/pgx/v5"
)

// A table without a usable replica identity that is published makes UPDATE and
// DELETE of the application fail (G6): a partition that was made without a key, a
// primary key that was dropped, an identity that was set to NOTHING. Whoever
// leads ends that at once, by what its role may do: it gives the table
// replica identity FULL where that makes no write fail, or else takes it out of the
// publication.

// mendLock bounds how long that may hold up others: a lock that is waited for
// holds up all who come after.
const mendLock = "100ms"

// Mender ends that writes of the application fail.
type Mender struct {
	scope *Scope
	tried map[string]string // tables whose replica identity was mended in vain, and why
}

// NewMender makes a mender for what s says.
func NewMender(s *Scope) *Mender { return &Mender{scope: s, tried: make(map[string]string)} }

// Mend ends that writes fail. It returns what the catalogue says then.
func (m *Mender) Mend(ctx context.Context, conn *pgx.Conn, ins *Inspection) (*Inspection, error) {
	mended := false
	for t := range ins.Catalogue.relations {
		r := &ins.Catalogue.relations[t]
		if !ins.failsWrites(r) {
			delete(m.tried, r.Name)
			continue
		}
		said, err := m.mendIdentity(ctx, conn, ins, r)
		if err != nil {
			said = "UPDATE and DELETE of the application fail on table " + r.Name + ", and this role can't end that: " + err.Error()
		} else {
			mended = true
		}
		if m.tried[r.Name] != said {
			m.tried[r.Name] = said
			m.scope.Log().Error(said, "table", r.Name)
		}
	}
	if !mended {
		return ins, nil
	}
	return m.scope.InspectOn(ctx, conn)
}

// failsWrites tells whether writes of the application fail because the table is
// published.
func (ins *Inspection) failsWrites(r *relationFacts) bool {
	p := ins.Catalogue.publication
	if p == nil || r.oid == 0 {
		return false
	}
	for _, t := range p.missing {
		if &ins.Catalogue.relations[t] == r {
			return false
		}
	}
	for i := range r.members {
		if m := &r.members[i]; m.holdsRows() && !m.usable() {
			return true
		}
	}
	return false
}

// holdsRows tells whether rows lie in m: it is no inner node of a tree of partitions.
func (m *member) holdsRows() bool { return m.kind != "p" && m.kind != "f" }

// mendIdentity ends it for one table, and says how.
func (m *Mender) mendIdentity(ctx context.Context, conn *pgx.Conn, ins *Inspection, r *relationFacts) (said string, err error) {
	var statements []string
	owned := true
	for i := range r.members {
		if m := &r.members[i]; m.holdsRows() && !m.usable() {
			statements = append(statements, m.statement())
			right := r.rights[m.oid]
			owned = owned && right.owned && right.usage
		}
	}
	all := strings.Join(statements, "; ")
	var failed error
	if owned && r.obstacle == "" {
		if failed = runWithin(ctx, conn, mendLock, statements); failed == nil {
			return "UPDATE and DELETE of the application failed on table " + r.Name + ", which had no usable replica identity; done: " + all, nil
		}
	}
	p := ins.Catalogue.publication
	statement := "ALTER PUBLICATION " + quoteName(ins.cfg.Publication) + " DROP TABLE " + quoteTable(r.members[0].schema, r.members[0].table)
	mend := "run as the table's owner: " + all
	if r.obstacle != "" {
		mend = "give it a primary key"
	}
	if !p.owned || p.all {
		if failed != nil {
			mend += fmt.Sprintf(" (%v)", failed)
		}
		return "", fmt.Errorf("%s", mend)
	}
	failed = m.withdraw(ctx, conn, r, statement)
	if errors.Is(failed, errMended) {
		return "UPDATE and DELETE of the application failed on table " + r.Name + ", until somebody gave it a replica identity", nil
	}
	if failed != nil {
		return "", fmt.Errorf("%s, or as the publication's owner: %s (%w)", mend, statement, failed)
	}
	return "UPDATE and DELETE of the application failed on table " + r.Name + ", which has no usable replica identity; done: " + statement +
		"; what mends it: " + mend + ", then `proxy setup -config FILE`", nil
}

// runWithin runs statements in one transaction, in one try.
func runWithin(ctx context.Context, conn *pgx.Conn, patience string, statements []string) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return runIn(ctx, tx, patience, statements) })
}

func runIn(ctx context.Context, tx pgx.Tx, patience string, statements []string) error {
	for _, s := range append([]string{"SET LOCAL lock_timeout = " + QuoteText(patience)}, statements...) {
		if _, err := tx.Exec(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}

// errMended says that a table has got a replica identity meanwhile.
var errMended = errors.New("the table has a usable replica identity")

// withdraw takes a table out of the publication by statement, unless its writes
// work by now: with the publication changed, nobody else can change that.
func (m *Mender) withdraw(ctx context.Context, conn *pgx.Conn, r *relationFacts, statement string) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if err := runIn(ctx, tx, mendLock, []string{statement}); err != nil {
			return err
		}
		again := &Inspection{tx: tx}
		now := relationFacts{oid: r.oid, Relation: pgoutput.Relation{Replident: r.Replident, Columns: r.Columns}}
		if err := again.readMembers(ctx, &now); err != nil {
			return err
		}
		for i := range now.members {
			if m := &now.members[i]; m.holdsRows() && !m.usable() {
				return nil
			}
		}
		return errMended // and nothing is withdrawn
	})
}
