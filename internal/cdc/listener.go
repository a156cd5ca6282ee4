package cdc

import (
	"context"
	"errors"
	"sync"
	"time"

	"walpurge/internal/cdc/catalogue"
	"walpurge/internal/cdc/pgoutput"
	"walpurge/internal/cdc/primary"
	"walpurge/internal/coherence"
	"walpurge/internal/pgerror"
	"walpurge/internal/relay"
	"walpurge/internal/retry"
)

// Observer is told what happens, from the goroutines that do it: it must not
// block.
type Observer interface {
	// Applied is called after a transaction that touches something watched has
	// been applied. tx and p are valid until it returns.
	Applied(tx *coherence.Transaction, p *coherence.Purge, took time.Duration)
	// Settled is called when a transaction has been found visible. lag is the time
	// since its commit by the server's clock and this machine's, at least 0.
	// Where commits become visible out of order it belongs to one beside it.
	Settled(lag time.Duration)
	// Epoch is called when an epoch has started, with the reason and how many
	// responses and fills were dropped.
	Epoch(reason string, dropped int)
}

// deaf is the Observer of those who want none.
type deaf struct{}

func (deaf) Applied(*coherence.Transaction, *coherence.Purge, time.Duration) {}
func (deaf) Settled(time.Duration)                                           {}
func (deaf) Epoch(string, int)                                               {}

// Listener follows one database's log for one guard.
type Listener struct {
	*shared
	follower *follower // nil without a relay

	// Of the goroutine that runs Run.
	history history

	mu struct {
		sync.Mutex
		rewatch   *rewatch           // asked for, and not done yet
		interrupt context.CancelFunc // ends the session, or the wait for one
	}
}

// NewListener makes a listener for the guard, which must have been made with
// catalogue.Tables. observer may be nil.
func NewListener(cfg Config, catalogue *catalogue.Catalogue, guard *coherence.Guard, observer Observer) *Listener {
	if observer == nil {
		observer = deaf{}
	}
	l := &Listener{shared: &shared{cfg: cfg, guard: guard, observer: observer, log: cfg.Log()}}
	l.SetMaxLag(cfg.MaxLag)
	if cfg.Relay != nil {
		l.follower = newFollower(l, cfg.Relay, catalogue.Database)
	}
	l.shared.mu.status = Status{State: "starting", Slot: cfg.Slot, Publication: cfg.Publication, Version: catalogue.Version, System: catalogue.SystemID}
	for _, w := range catalogue.Warnings {
		l.log.Warn(w)
	}
	for _, c := range catalogue.Coarse {
		l.log.Warn("old rows don't say enough: a change counts for any value of these columns", "table", c.Table, "columns", c.Columns, "mend", c.Mend)
	}
	return l
}

// slotInUsePause is how often a slot in use is asked for again.
const slotInUsePause = time.Second

// steady is how long a session must have lasted for the next failure to count
// as the first.
const steady = 5 * time.Second

// Run follows the log until ctx ends; then it returns nil. Lost connections
// are made again. It gives up, before the first epoch only, whoever began it,
// on what waiting can't mend: a *RefusalError.
func (l *Listener) Run(ctx context.Context) error {
	pauses := retry.Backoff{Chance: l.cfg.Chance}
	said := make(map[string]bool) // errors logged since a session last worked
	if l.follower != nil {
		var stop context.CancelFunc
		ctx, stop = context.WithCancel(ctx)
		defer l.follower.end()
		defer stop()
	}
	for {
		term, end := l.term(ctx)
		if !l.follow(ctx, term) {
			end()
			if ctx.Err() == nil {
				continue
			}
			l.setState("stopped", nil)
			return nil
		}
		began := time.Now()
		err := l.session(term)
		interrupted := term.Err() != nil
		end()
		if ctx.Err() != nil {
			l.setState("stopped", nil)
			return nil
		}
		if interrupted {
			continue
		}
		var refused *catalogue.RefusalError
		if errors.As(err, &refused) && l.guard.Epoch() == 0 {
			return err
		}
		l.ended(err)
		if time.Since(began) > steady {
			pauses.Reset()
			clear(said)
		}
		pause := pauses.Next()
		state := "disconnected"
		if l.follower != nil && (errors.Is(err, catalogue.ErrSlotInUse) || errors.Is(err, errMoved) || errors.Is(err, relay.ErrFenced)) {
			pauses.Reset()
			pause = vacancyPause
			l.follower.vacancy.Close() // its connection may lead elsewhere
		} else if errors.Is(err, catalogue.ErrSlotInUse) {
			pauses.Reset()
			pause, state = slotInUsePause, "waiting for the slot"
		}
		if errors.Is(err, errOlderCopy) {
			state = "led to an older copy of the server"
		}
		l.setState(state, err)
		if line := pgerror.Line(err); !said[line] {
			said[line] = true
			l.log.Error("not following the database's log", "error", line)
		}
		if !retry.Wait(ctx, pause) {
			l.setState("stopped", nil)
			return nil
		}
	}
}

// ended draws the consequences of a session's end.
func (l *Listener) ended(err error) {
	l.noteStuck(err)
	doubted := doubtOf(err)
	var refused *catalogue.RefusalError
	switch {
	case doubted != nil:
		l.history.doubt = doubted.reason
		if l.follower != nil {
			l.follower.suspect(doubted.reason)
		}
		l.guard.Unprove()
	case errors.As(err, &refused):
		// A watched table can't be followed any more: nothing is served until it
		// can. Whether the catalogue has changed for good shows then.
		l.guard.Unprove()
	case errors.Is(err, primary.ErrOtherServer):
		l.guard.Unprove()
	}
}

// follow follows the process that leads, if there is a relay, until the slot
// may be asked for. It tells whether term goes on.
func (l *Listener) follow(ctx, term context.Context) bool {
	if l.follower == nil {
		return true
	}
	l.follower.begin(ctx)
	return l.follower.awaitVacancy(term)
}

// EmitPurge writes a message into the log of the database at url that purges
// groups in every proxy that follows it. The result is at or after the
// message's commit. A group name has no white space.
func EmitPurge(ctx context.Context, url string, groups []string) (coherence.LSN, error) {
	content, err := pgoutput.PurgeGroups(groups)
	if err != nil {
		return 0, err
	}
	cfg := catalogue.Scope{URL: url}
	conn, err := cfg.Primary().Connect(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	return primary.Emit(ctx, conn, pgoutput.Prefix, content)
}

// EmitPurge is the function of the same name for the listener's database.
func (l *Listener) EmitPurge(ctx context.Context, groups []string) (coherence.LSN, error) {
	return EmitPurge(ctx, l.cfg.URL, groups)
}

// following is the state of a session whose stream runs.
const following = "following"
