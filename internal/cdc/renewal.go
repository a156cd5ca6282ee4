package cdc

import (
	"context"
	"maps"
	"slices"

	"walpurge/internal/wire"
)

// renewal is a catalogue that decoding is to go by.
type renewal struct {
	catalogue *Catalogue
	done      chan struct{} // closed when it does
}

// renewWith has the receiver go by another catalogue, and returns when it does.
func (s *session) renewWith(ctx context.Context, c *Catalogue) error {
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
	if s.renewal.Load() == nil || s.decoder.inside {
		return
	}
	r := s.renewal.Swap(nil)
	s.decoder.renew(r.catalogue)
	s.current.Store(r.catalogue)
	close(r.done)
}

// renew makes d go by another catalogue: what the stream has described so far
// is matched with it anew. What comes from before it was read doesn't match where
// it differs, and counts as a change of the whole table.
// REQUIRES: d is not inside a transaction.
func (d *decoder) renew(c *Catalogue) {
	d.catalogue, d.identity, d.last = c, c.identities(), nil
	for _, relations := range slices.Concat([]map[uint32]*relation{d.relations}, d.openRelations()) {
		for _, oid := range slices.Sorted(maps.Keys(relations)) {
			again, err := d.describedBy(&wire.Cursor{Rest: relations[oid].message})
			if err != nil {
				continue // it was understood before
			}
			relations[oid] = again
		}
	}
}

func (d *decoder) openRelations() (all []map[uint32]*relation) {
	for _, open := range d.streaming.open {
		all = append(all, open.relations)
	}
	return all
}
