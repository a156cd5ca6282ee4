package catalogue

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"walpurge/internal/cdc/primary"
	"walpurge/internal/coherence"
)

// Wants is what [Scope.Provide] has to know of the session that asks.
type Wants struct {
	Server      primary.Server              // the one that answered
	Replication *pgconn.PgConn              // where the slot is made
	Tables      []coherence.Table           // as the guard knows them
	Everything  bool                        // what stands in the way of single tables is a refusal, too
	Stuck       *Stuck                      // the slot that could not be read on; nil: none
	Waits       func() func(primary.Waited) // begins a wait for the slot, and is told for whom; nil: it is over
}

// Provision is what a stream is started with.
type Provision struct {
	Catalogue *Catalogue
	Slot      string        // its name
	At        coherence.LSN // where the slot stands
	Reason    string        // why the slot alone means a new epoch; empty: it doesn't
}

// Provide checks the catalogue and finds or makes publication and slot. What
// it made is undone when it fails. What stands in the way comes as a
// *RefusalError, a slot that somebody else holds as ErrSlotInUse.
func (s *Scope) Provide(ctx context.Context, control *pgx.Conn, w *Wants) (*Provision, error) {
	p := &provider{s, w, &Provision{}}
	created, err := p.inspect(ctx, control)
	if err == nil {
		err = p.findSlot(ctx, control)
	}
	if err != nil && created && !Taken(err) { // else another process needs it
		err = errors.Join(err, s.undo(ctx, []string{"DROP PUBLICATION " + quoteName(s.Publication)}))
	}
	if err != nil {
		return nil, err
	}
	return p.Provision, nil
}

// provider is the work on one Provision.
type provider struct {
	*Scope
	wants *Wants
	*Provision
}

// inspect reads the catalogue and makes the publication if it is missing. It
// tells whether it did.
func (p *provider) inspect(ctx context.Context, control *pgx.Conn) (created bool, err error) {
	ins, err := p.InspectOn(ctx, control)
	if err != nil {
		return false, err
	}
	refused := ins.OfServer()
	if p.wants.Everything {
		refused = ins.everything()
	}
	if err := refused.Err(); err != nil {
		return false, err
	}
	if ins.Catalogue.publication == nil {
		unfit := ins.OfTables()
		for t := range ins.Catalogue.relations {
			r := &ins.Catalogue.relations[t]
			r.unfit = unfit[r.Name] != ""
		}
		if len(unfit) == len(ins.Catalogue.relations) {
			return false, ins.everything().Err()
		}
		statement := ins.createStatement()
		if err := p.runTogether(ctx, control, []string{statement}); err != nil {
			return false, err
		}
		created = true
		p.Log().Info("made the publication", "statement", statement)
		if ins, err = p.InspectOn(ctx, control); err != nil {
			return created, err
		}
	}
	p.adopt(ins)
	return created, nil
}

// adopt takes what was found.
func (p *provider) adopt(ins *Inspection) {
	p.Catalogue = ins.Catalogue
	p.Catalogue.Look = p.Catalogue.Look.With(ins.OfTables())
	for _, column := range p.Catalogue.CompareBy(p.wants.Tables) {
		p.Log().Warn("a column's type has changed: restart the proxy to compare it exactly", "column", column)
	}
}

// findSlot finds the slot or makes it.
func (p *provider) findSlot(ctx context.Context, control *pgx.Conn) (err error) {
	have := p.Catalogue.slot
	if p.Temporary {
		var tail [4]byte
		_, _ = rand.Read(tail[:])
		p.Provision.Slot, p.Reason = p.Scope.Slot[:min(len(p.Scope.Slot), 54)]+"_"+hex.EncodeToString(tail[:]), "temporary"
		p.At, err = p.createSlot(ctx)
		return err
	}
	name := p.Scope.Slot
	p.Provision.Slot, p.Reason = name, "slot_missing"
	if have != nil && have.Active {
		return fmt.Errorf("%w (pid %d)", ErrSlotInUse, have.PID)
	}
	switch {
	case have == nil:
	case have.Lost():
		p.Reason = "slot_lost"
		p.Log().Warn("the slot is lost: "+have.WhyLost()+"; making it again", "slot", name)
	case p.wants.Stuck.is(have, p.wants.Server):
		p.Reason = ReasonPublication
		p.Log().Warn("the slot can't be read on: the log has changes from when the publication was not there (dropped, renamed, or not made yet); making the slot again",
			"slot", name, "publication", p.Publication)
	default:
		p.At, p.Reason = have.Confirmed, ""
		return nil
	}
	if have != nil { // it is ours: database and plugin have been checked
		if err := dropSlot(ctx, control, name); err != nil {
			return fmt.Errorf("drop slot %s: %w", name, err)
		}
	}
	p.At, err = p.createSlot(ctx)
	return err
}

// createSlot makes the slot. The server waits for transactions that are open.
func (p *provider) createSlot(ctx context.Context) (coherence.LSN, error) {
	on, name := p.wants.Replication, p.Provision.Slot
	var made pglogrepl.CreateReplicationSlotResult
	err := p.Primary().Attend(ctx, on.PID(), primary.WaitLook, p.wants.Waits(), func() (err error) {
		made, err = pglogrepl.ParseCreateReplicationSlot(on.Exec(ctx, slotCommand(name, p.Temporary, p.Catalogue.Version)))
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("create slot %s: %w", name, err)
	}
	return coherence.ParseLSN(made.ConsistentPoint)
}
