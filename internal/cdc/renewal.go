package cdc

import (
	"context"

	"walpurge/internal/cdc/catalogue"
)

// renewal is a catalogue that decoding is to go by.
type renewal struct {
	catalogue *catalogue.Catalogue
	done      chan struct{} // closed when it does
}

// renewWith has the receiver go by another catalogue, and returns when it does.
func (r *receiver) renewWith(ctx context.Context, c *catalogue.Catalogue) error {
	wish := &renewal{catalogue: c, done: make(chan struct{})}
	r.renewal.Store(wish)
	r.ask()
	select {
	case <-wish.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// renew does what renewWith asks for, unless a transaction is being received.
func (r *receiver) renew() {
	if r.renewal.Load() == nil || r.decoder.Inside() {
		return
	}
	wish := r.renewal.Swap(nil)
	r.decoder.Renew(wish.catalogue.Schema())
	r.current.Store(wish.catalogue)
	close(wish.done)
}
