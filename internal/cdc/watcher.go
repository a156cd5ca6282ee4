package cdc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"walpurge/internal/cdc/catalogue"
	"walpurge/internal/cdc/primary"

	"github.com/jackc/pgx/v5"
)

// watchInterval is how often the slot is looked at, and a table that can't be
// followed; hurriedInterval is the same while one is about to be.
const (
	watchInterval   = time.Second
	hurriedInterval = 100 * time.Millisecond
)

// watcher looks after the catalogue and the slot in one session.
type watcher struct {
	*session
	side     *primary.Conn
	glance   catalogue.Glance
	inactive int                // looks that have found nobody to read the slot
	seen     time.Time          // when the slot was looked at last
	horizons map[string]horizon // of tables that wait for one
	mender   *catalogue.Mender
}

func newWatcher(s *session) *watcher {
	return &watcher{session: s, horizons: make(map[string]horizon), mender: catalogue.NewMender(&s.cfg.Scope)}
}

// run looks after what the stream doesn't show: what the prober has found to
// be different in the catalogue, the slot, and whether the server has begun to
// wait for us.
func (w *watcher) run(ctx context.Context) error {
	w.side = w.beside(w.server)
	defer w.side.Close()
	defer func() {
		for table := range w.horizons {
			w.endHorizon(table)
		}
	}()
	for {
		tick := time.NewTimer(w.interval())
		reason := "catalogue"
		select {
		case <-ctx.Done():
			tick.Stop()
			return nil
		case <-tick.C:
		case <-w.suspicion:
			reason = "schema"
		}
		tick.Stop()
		err := w.look(ctx, reason)
		if goes, why := w.goesOn(ctx, "catalogue", err); !goes {
			return why
		}
		if !w.side.Rest(ctx, err) {
			return nil
		}
	}
}

func (w *watcher) interval() time.Duration {
	if len(w.horizons) > 0 {
		return hurriedInterval
	}
	return watchInterval
}

// errStreamGone says that the server has given up our stream.
var errStreamGone = errors.New("nobody reads the slot any more: the server has ended our stream")

// look looks once.
func (w *watcher) look(ctx context.Context, reason string) error {
	conn, err := w.side.Open(ctx)
	if err != nil {
		return err
	}
	old, err := w.askOldest(ctx, conn) // before the catalogue is looked at
	if err != nil {
		return err
	}
	_, sum, err := w.glance.Probe(ctx, w.side, w.catalogue.Version, w.cfg.Publication, w.cfg.Watches)
	if err != nil {
		return err
	}
	if accepted := w.sight.accepted(); sum != accepted.Quick || len(accepted.Lost) > 0 {
		if err := w.examine(ctx, conn, old, reason); err != nil {
			return err
		}
	} else {
		w.readAhead.Baseline.Accept(old, w.progress.Applied())
	}
	if time.Since(w.seen) < watchInterval {
		return nil
	}
	w.seen = time.Now()
	return w.lookAtSlot(ctx, conn)
}

// lookAtSlot looks after the slot and who waits for us.
func (w *watcher) lookAtSlot(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, primary.QueryTimeout)
	defer cancel()
	now, err := catalogue.FindSlot(ctx, conn, w.slot)
	if err != nil {
		return fmt.Errorf("read slot %s: %w", w.slot, err)
	}
	w.noteSlot(w.slot, now)
	if now == nil || !now.Active {
		// The server may be a moment behind when a stream starts or ends.
		if w.inactive++; w.inactive >= 3 {
			return errStreamGone
		}
		return nil
	}
	w.inactive = 0
	return catalogue.CheckAsynchronous(ctx, conn, now.PID)
}
