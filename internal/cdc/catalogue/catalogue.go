package catalogue

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"walpurge/internal/cdc/pgoutput"
	"walpurge/internal/cdc/primary"
	"walpurge/internal/coherence"
	"walpurge/internal/identifier"
)

// Catalogue is what a database says of the watched tables at one moment.
type Catalogue struct {
	Tables   []coherence.Table // in the order of Scope.Watches
	Coarse   []CoarseTable     // whose old rows don't say enough
	Warnings []string          // what goes wrong one day, each with its mend

	SystemID string // of the cluster
	Timeline int32
	Version  int    // server_version_num: 150004
	Database string // its name

	StatusInterval time.Duration // a third of wal_sender_timeout, at most a second
	Look           *Look         // of the same snapshot
	relations      []relationFacts
	byOID          map[uint32]coherence.TableID
	byName         map[string]coherence.TableID
	leaves         map[uint32]coherence.TableID // partitions of watched tables
	others         map[uint32]bool              // published and not watched
	publication    *publication                 // nil: there is none of the name
	slot           *Slot                        // nil: there is none of the name
	standbyNames   string
	DecodingRoom   int // logical_decoding_work_mem in KiB
}

// CoarseTable is a table whose old rows don't say enough: a change counts for
// any value of Columns.
type CoarseTable struct {
	Table   string
	Columns []string
	Mend    string // the SQL that ends it, or why none does
}

// relationFacts is a watched table.
type relationFacts struct {
	pgoutput.Relation
	oid      uint32
	owned    bool             // the role may alter it
	unfit    bool             // it must not come into a publication as it is
	members  []member         // the table itself, or it and its partitions
	rights   map[uint32]right // of the role, by the members' oids
	obstacle string           // why replica identity FULL would make writes fail; empty: it would not
}

// Schema is what the stream is matched with. REQUIRES: CompareBy has been called.
func (c *Catalogue) Schema() *pgoutput.Schema {
	s := &pgoutput.Schema{ByOID: c.byOID, ByName: c.byName, Partitions: c.leaves, Others: c.others}
	for i := range c.relations {
		s.Relations = append(s.Relations, c.relations[i].Relation)
	}
	return s
}

// TableOf is the watched table that a relation belongs to, whose topmost
// partitioned table is root; both are pg_class.oid.
func (c *Catalogue) TableOf(oid, root uint32) (t coherence.TableID, watched bool) {
	if t, ok := c.byOID[oid]; ok {
		return t, true
	}
	if t, ok := c.leaves[oid]; ok {
		return t, true
	}
	t, watched = c.byOID[root]
	return t, watched
}

// CompareBy marks the columns whose kind or labels are no longer those that
// the guard was made with, or that responses can't name any more: their values
// count as unknown. It returns their names.
func (c *Catalogue) CompareBy(tables []coherence.Table) []string {
	var changed []string
	for t := range c.relations {
		for i := range c.relations[t].Watched {
			w := &c.relations[t].Watched[i]
			now, then := &c.Tables[t].Columns[i], &tables[t].Columns[i]
			if now.Kind != then.Kind || gone(then.Labels, now.Labels) || now.Twin && !then.Twin {
				w.Wanted = false
				changed = append(changed, c.Tables[t].Name+"."+identifier.Quote(w.Name))
			}
		}
	}
	return changed
}

// gone tells whether a label is not there any more. One that is new is no
// condition until the next start, which is safe.
func gone(then, now []string) bool {
	return slices.ContainsFunc(then, func(label string) bool { return !slices.Contains(now, label) })
}

// Inspect reads the catalogue and checks everything that a Listener needs. It
// writes nothing. What stands in the way comes as a *RefusalError, all of it
// at once.
func Inspect(ctx context.Context, cfg Scope) (*Catalogue, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	conn, err := cfg.Primary().Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	// It takes no lock on a table, but reads the catalogue, which somebody may have locked.
	s := primary.Sayer{Say: func(text string) { cfg.waiting("reading the catalogue waits for %s", text) }}
	var ins *Inspection
	err = cfg.Primary().Attend(ctx, conn.PgConn().PID(), primary.WaitShort, s.See, func() (err error) {
		ins, err = cfg.InspectOn(ctx, conn)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := ins.everything().Err(); err != nil {
		return nil, err
	}
	// That the role may replicate and that no pooler is in between shows only
	// when it is tried.
	replication, _, err := cfg.Primary().ConnectReplication(ctx)
	if err != nil {
		return nil, err
	}
	return ins.Catalogue, replication.Close(context.WithoutCancel(ctx))
}

// Inspection is the work on one Catalogue.
type Inspection struct {
	cfg       *Scope
	tx        pgx.Tx
	Catalogue *Catalogue
	server    serverFacts
	refused   Refusals // what nothing but a person can mend
	forbidden Refusals // what needs rights that the role lacks
	pending   Refusals // what Setup mends
}

// InspectOn reads everything in one snapshot of conn. It refuses nothing: see
// OfServer and OfTables.
func (s *Scope) InspectOn(ctx context.Context, conn *pgx.Conn) (*Inspection, error) {
	cfg := s
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, fmt.Errorf("read the catalogue: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	ins := &Inspection{cfg: cfg, tx: tx, Catalogue: &Catalogue{
		byOID:  make(map[uint32]coherence.TableID),
		byName: make(map[string]coherence.TableID),
		leaves: make(map[uint32]coherence.TableID),
		others: make(map[uint32]bool),
	}}
	if err := ins.readServer(ctx); err != nil {
		return nil, fmt.Errorf("read the server's settings: %w", err)
	}
	if ins.server.version < minimumVersion || ins.server.Recovery {
		return ins, nil // the rest may not even be there
	}
	for i := range cfg.Watches {
		if err := ins.readTable(ctx, &cfg.Watches[i]); err != nil {
			return nil, fmt.Errorf("read table %s: %w", cfg.Watches[i].Table, err)
		}
	}
	if err := ins.readPublication(ctx); err != nil {
		return nil, fmt.Errorf("read publication %s: %w", cfg.Publication, err)
	}
	if !cfg.Temporary {
		if err := ins.readSlot(ctx); err != nil {
			return nil, fmt.Errorf("read slot %s: %w", cfg.Slot, err)
		}
	}
	ins.checkFreeSlots()
	if ins.Catalogue.Look, err = readLook(ctx, tx, ins.server.version, cfg.Publication, cfg.Watches); err != nil {
		return nil, err
	}
	return ins, nil
}

// OfTables is what stands in the way of following single tables, by name, each
// with its mend; OfServer is the rest.
func (ins *Inspection) OfTables() map[string]string {
	lost := make(map[string]string)
	for _, r := range ins.everything() {
		if r.Table == "" {
			continue
		}
		if lost[r.Table] != "" {
			lost[r.Table] += "; "
		}
		lost[r.Table] += r.String()
	}
	return lost
}

// OfServer is what stands in the way of following anything.
func (ins *Inspection) OfServer() Refusals {
	return slices.DeleteFunc(ins.everything(), func(r Refusal) bool { return r.Table != "" })
}

// everything is all that stands in the way of a Listener.
func (ins *Inspection) everything() Refusals {
	return slices.Concat(ins.refused, ins.forbidden, ins.pending)
}
