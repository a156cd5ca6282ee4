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
func (s *session) renewWith(ctx context.Context, c *catalogue.Catalogue) error {
	r := &renewal{catalogue: c, done: make(chan struct{})}
	s.renewal.Store(r)
	s.ask()
	select {
	case <-r.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// renew does what renewWith asks for, unless a transaction is being received.
func (s *session) renew() {
	if s.renewal.Load() == nil || s.decoder.Inside() {
		return
	}
	r := s.renewal.Swap(nil)
	s.decoder.Renew(r.catalogue.Schema())
	s.current.Store(r.catalogue)
	close(r.done)
}
