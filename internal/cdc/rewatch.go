package cdc

import (
	"context"
	"errors"
	"time"

	"walpurge/internal/cdc/catalogue"
	"walpurge/internal/coherence"
)

// rewatch is a wish for more tables or columns.
type rewatch struct {
	watches []catalogue.Watch
	tables  []coherence.Table
	done    chan struct{}
	err     error // set before done is closed
}

// Rewatch makes the listener watch more, while it runs: tables is what
// [catalogue.Inspect] says of watches, and both begin with what is watched already (see
// [coherence.Guard.Watch]). The stream is taken up again for it: with a
// temporary slot that is a new epoch, and so is a table that was not watched. It
// returns when whatever is applied from then on is looked at for all of it.
func (l *Listener) Rewatch(ctx context.Context, watches []catalogue.Watch, tables []coherence.Table) error {
	wish := &rewatch{watches: watches, tables: tables, done: make(chan struct{})}
	l.mu.Lock()
	if l.mu.rewatch != nil {
		l.mu.Unlock()
		return errors.New("more is about to be watched already; try again")
	}
	l.mu.rewatch = wish
	if l.mu.interrupt != nil {
		l.mu.interrupt()
	}
	l.mu.Unlock()
	select {
	case <-wish.done:
		return wish.err
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.rewatch == wish { // nobody has begun with it
		l.mu.rewatch = nil
		return ctx.Err()
	}
	<-wish.done
	return wish.err
}

// term begins the time until the next wish for more: it fulfils the last one
// and returns a context that the next one ends. It is called between two
// sessions, so that nothing is decoded or applied here meanwhile.
func (l *Listener) term(ctx context.Context) (context.Context, context.CancelFunc) {
	term, end := context.WithCancel(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.interrupt = end
	if wish := l.mu.rewatch; wish != nil {
		l.mu.rewatch = nil
		wish.err = l.extend(wish)
		close(wish.done)
	}
	return term, end
}

// extend fulfils a wish. The follower applies what it reads under its own
// lock.
func (l *Listener) extend(wish *rewatch) error {
	f := l.follower
	if f == nil {
		if err := l.guard.Watch(wish.tables); err != nil {
			return err
		}
		l.cfg.Watches = wish.watches
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := l.guard.Watch(wish.tables); err != nil {
		return err
	}
	l.cfg.Watches = wish.watches
	f.tx = coherence.NewTransaction(l.guard.Tables(), 1<<30)
	if f.mu.announced != nil {
		f.mu.mapping = f.mu.announced.Onto(l.guard.Tables())
	}
	f.review()
	return nil
}

// SetMaxLag sets how old a proof of freshness may be, see [Config.MaxLag].
func (l *Listener) SetMaxLag(lag time.Duration) {
	l.lag.Store(int64(lag))
}
