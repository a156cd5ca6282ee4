package cdc

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"walpurge/internal/cdc/catalogue"
	"walpurge/internal/cdc/primary"
	"walpurge/internal/cdc/proof"
	"walpurge/internal/cdc/readahead"
	"walpurge/internal/coherence"
)

// shared is what outlives a session: the sessions of a Listener and its
// follower have it in common.
type shared struct {
	cfg       Config
	guard     *coherence.Guard
	observer  Observer
	log       *slog.Logger
	flush     proof.FlushGroup
	open      atomic.Int32 // transactions that are received while they are open
	readAhead readahead.State
	lag       atomic.Int64 // how old a proof of freshness may be

	mu struct {
		sync.Mutex
		status Status // what is noted; the rest is asked for by [Listener.Status]
		said   string // the error beside the stream that was logged last; empty: none since a session's
	}
}

// maxLag is how old a proof of freshness may be now.
func (h *shared) maxLag() time.Duration { return time.Duration(h.lag.Load()) }

// apply is where every transaction goes through.
func (h *shared) apply(tx *coherence.Transaction) {
	began := time.Now()
	again := tx.End <= h.guard.Applied()
	purge := h.guard.Apply(tx)
	if !again && !tx.Empty() {
		h.observer.Applied(tx, purge, time.Since(began))
	}
}

// newEpoch starts an epoch at start.
func (h *shared) newEpoch(reason string, start coherence.LSN) {
	h.enterEpoch(coherence.Epoch(random()), reason, start)
}

// enterEpoch is where every epoch starts, one's own and those that another
// process has begun.
func (h *shared) enterEpoch(epoch coherence.Epoch, reason string, start coherence.LSN) {
	dropped := h.guard.Reset(epoch, start)
	h.observer.Epoch(reason, dropped)
	h.log.Info("a new epoch: nothing that was cached before counts",
		"reason", reason, "epoch", epoch.String(), "start", start.String(), "dropped", dropped)
}

// settleLost makes the guard's lost tables those of l. REQUIRES: nothing is being
// applied.
func (h *shared) settleLost(now *catalogue.Look) {
	for i := range h.guard.Tables() {
		t, name := coherence.TableID(i), h.guard.Tables()[i].Name
		why, lost := now.Lost[name]
		switch {
		case lost && !h.guard.Lost(t):
			dropped := h.guard.Lose(t)
			h.log.Error("a table can't be followed: what depends on it is asked of the origin", "table", name, "why", why, "dropped", dropped)
		case !lost && h.guard.Lost(t):
			h.guard.Regain(t)
		}
	}
}

// beside makes a connection to expect beside the replication connection, for
// one goroutine.
func (h *shared) beside(expect primary.Server) *primary.Conn {
	return primary.NewConn(h.cfg.Primary(), expect, h.guard.Applied, h.cfg.Chance)
}
