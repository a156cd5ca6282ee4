package cdc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"walpurge/internal/cdc/catalogue"
	"walpurge/internal/cdc/pgoutput"
	"walpurge/internal/cdc/primary"
	"walpurge/internal/cdc/readahead"
	"walpurge/internal/coherence"
)

// errRestart says that the server's part of the stream has to begin anew for
// what has changed in the catalogue. The history goes on.
var errRestart = errors.New("partitions have come or gone: PostgreSQL 14 notices that only at the beginning of a stream, which is taken up again")

// examination is what an examine has found of each table.
type examination struct {
	now    *catalogue.Look
	lost   map[string]string // can't be followed, and why
	waits  map[string]string // could be, once a horizon has passed
	drops  []coherence.TableID
	regain []coherence.TableID
	renews bool // decoding has to go by the catalogue of now
	moved  bool // partitions or the publication have changed
}

// examine finds out what has changed in the catalogue and does what follows from
// it. Until that is done nothing is proven, save for what doesn't depend on a
// table that can't be followed:
//
//  1. Tables that can't be followed, or not yet, are lost: what depends on them ends,
//     and is asked of the origin from then on. All others go on.
//  2. Decoding goes by the catalogue as it is now.
//  3. A message in the log drops what depends on the tables that have changed, in every
//     process and at a position (R1): everything that was read before the change ends, and the
//     change was visible before the message was written.
//  4. When that has been applied, what was seen is accepted.
//
// What concerns more than tables is a doubt (R8) for reason.
func (w *watcher) examine(ctx context.Context, conn *pgx.Conn, old readahead.Oldest, reason string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*primary.QueryTimeout)
	defer cancel()
	ins, err := w.cfg.InspectOn(ctx, conn)
	if err != nil {
		return err
	}
	if ins, err = w.mender.Mend(ctx, conn, ins); err != nil {
		return err
	}
	accepted := w.sight.accepted()
	if err := ins.OfServer().Err(); err != nil {
		return &doubt{reason, err}
	}
	if !ins.Catalogue.Look.Continues(accepted, w.guard.Tables()) {
		return &doubt{reason, errors.New("the publication has changed")}
	}
	x, err := w.compare(ctx, conn, accepted, ins)
	if err != nil {
		return err
	}
	lost := maps.Clone(x.lost)
	maps.Copy(lost, x.waits)
	for _, t := range x.regain { // not before it is dropped
		lost[w.tableName(t)] = accepted.Lost[w.tableName(t)]
	}
	if !maps.Equal(lost, accepted.Lost) {
		accepted = accepted.With(lost)
		w.settle(accepted)
	}
	if x.moved && ins.Catalogue.Version < catalogue.SchemasVersion {
		return errRestart
	}
	if x.renews {
		if err := w.renewed(ctx, ins, old); err != nil {
			return err
		}
	}
	if err := w.drop(ctx, conn, slices.Concat(x.drops, x.regain)); err != nil {
		return err
	}
	for _, t := range x.regain {
		delete(lost, w.tableName(t))
		w.endHorizon(w.tableName(t))
		w.log.Info("a table is followed again", "table", w.tableName(t))
	}
	w.settle(x.now.With(lost))
	return nil
}

func (w *watcher) tableName(t coherence.TableID) string { return w.guard.Tables()[t].Name }

// compare decides for each table what becomes of it.
func (w *watcher) compare(ctx context.Context, conn *pgx.Conn, accepted *catalogue.Look, ins *catalogue.Inspection) (*examination, error) {
	x := &examination{now: ins.Catalogue.Look, lost: ins.OfTables(), waits: make(map[string]string)}
	decodes := w.receiver.current.Load().Look // what decoding goes by, which may be newer than what was accepted
	for i := range w.guard.Tables() {
		t, name := coherence.TableID(i), w.tableName(coherence.TableID(i))
		_, was := accepted.Lost[name]
		change := accepted.Changed(name, x.now)
		decoded := decodes.Changed(name, x.now)
		x.renews, x.moved = x.renews || decoded >= catalogue.Reidentify, x.moved || decoded >= catalogue.Reread
		switch {
		case x.lost[name] != "":
			w.endHorizon(name)
		case was, change == catalogue.Republished:
			passed, why, err := w.passed(ctx, conn, name, x.now.Published(name))
			switch {
			case err != nil:
				return nil, err
			case passed:
				x.regain = append(x.regain, t)
			default:
				x.waits[name] = why
			}
		case change == catalogue.Reread:
			x.drops = append(x.drops, t)
		}
	}
	return x, nil
}

// horizon is what a table that has come into the publication waits for.
type horizon struct {
	*primary.Horizon
	published string // the table's place in the publication
	see       func(primary.Waited)
}

// passed tells whether every transaction has ended that was open when a table was
// first seen in its place in the publication: one that was open may never be published
// for it. If not, why says so.
func (w *watcher) passed(ctx context.Context, conn *pgx.Conn, table, published string) (passed bool, why string, err error) {
	h, known := w.horizons[table]
	if !known || h.published != published {
		w.endHorizon(table)
		h = horizon{published: published}
		if h.Horizon, err = primary.NewHorizon(ctx, conn); err != nil {
			return false, "", err
		}
		h.see = w.waits("nothing that depends on a table is cached until the transactions that were open when it came into the publication have ended")
		w.horizons[table] = h
	}
	if passed, err = h.Passed(ctx, conn, h.see); passed || err != nil {
		return passed, "", err
	}
	return false, "transactions are open that may have begun before table " + table + " came into the publication; it is followed once they have ended", nil
}

// endHorizon ends the wait of a table.
func (w *watcher) endHorizon(table string) {
	if h, known := w.horizons[table]; known {
		h.see(nil)
		delete(w.horizons, table)
	}
}

// renewed has decoding go by what was found.
func (w *watcher) renewed(ctx context.Context, ins *catalogue.Inspection, old readahead.Oldest) error {
	for _, column := range ins.Catalogue.CompareBy(w.guard.Tables()) {
		w.log.Warn("a column's type has changed: restart the proxy to compare it exactly", "column", column)
	}
	if err := w.receiver.renewWith(ctx, ins.Catalogue); err != nil {
		return fmt.Errorf("go by the catalogue of now: %w", err)
	}
	w.readAhead.Baseline.Begin(old)
	return nil
}

// drop ends what depends on tables by a message in the log, and returns when
// that has been applied.
func (w *watcher) drop(ctx context.Context, conn *pgx.Conn, tables []coherence.TableID) error {
	if len(tables) == 0 {
		return nil
	}
	names := make([]string, len(tables))
	for i, t := range tables {
		names[i] = w.tableName(t)
	}
	at, err := primary.Emit(ctx, conn, pgoutput.Prefix, pgoutput.DropTables(names))
	if err != nil {
		return &doubt{"catalogue", fmt.Errorf("drop what depends on %s: %w", strings.Join(names, ", "), err)}
	}
	ready, stop := w.guard.WaitApplied(at)
	defer stop()
	w.receiver.ask()
	select {
	case <-ready:
	case <-ctx.Done():
		return fmt.Errorf("wait for the log up to %s: %w", at, ctx.Err())
	}
	w.log.Info("the catalogue's entry of a table has changed: what depends on it was dropped", "tables", strings.Join(names, ", "))
	return nil
}

// settle accepts what has been found and done, and tells the other processes.
func (w *watcher) settle(now *catalogue.Look) {
	w.progress.between(func() { w.settleLost(now) })
	w.sight.accept(now)
	w.noteLost(now.Lost)
	w.announce(now)
}
