package cdc

import (
	"errors"
	"slices"
	"time"
)

// ingest applies entries that follow each other in the stream. What can't be
// understood, or doesn't follow what was read before, is a gap: reading starts
// again at the oldest entry. An empty list says that the end has been reached.
// REQUIRES: f.mu held.
func (f *follower) ingest(entries []streamed) {
	for _, s := range entries {
		wasKnown := f.mu.known
		if err := f.entry(s); err != nil {
			f.mu.known = false
			if said := err.Error(); said != f.mu.said {
				f.mu.said = said
				f.l.log.Warn("the relay can't be followed from here", "sequence", s.seq, "error", err)
			}
		}
		if !f.mu.known && wasKnown && !f.mu.loading {
			f.mu.seq, f.mu.sum, f.mu.loading = 0, 0, true
			break
		}
	}
	if len(entries) == 0 {
		f.mu.loading = false
	}
	f.review()
}

// errGap says that something between two entries has not been seen.
var errGap = errors.New("entries are missing")

// entry applies one entry. REQUIRES: f.mu held.
func (f *follower) entry(s streamed) error {
	m := &f.mu
	follows := m.known && s.seq == m.seq+1
	m.seq = s.seq
	e, err := decodeEntry(s.blob)
	if err != nil {
		return err
	}
	f.hear(e)
	follows = follows && e.prev == m.sum && (e.epoch == m.epoch || e.flags&begins != 0)
	m.sum = checksum(s.blob)
	f.keep(e, s)
	if e.flags&keyframe == 0 {
		if !follows {
			if !m.known {
				return nil // still looking for a place to begin
			}
			return errGap
		}
	} else {
		f.announce(e.announced)
	}
	if !follows || e.flags&begins != 0 {
		f.enter(e)
	}
	if f.newTerm(e.nonce) || e.flags&takesOver != 0 && s.seq > m.doubtedAt {
		m.doubt = "" // who took over has looked, and continues
	}
	if err := f.apply(e); err != nil {
		return err
	}
	m.known, m.epoch, m.applied = true, e.epoch, e.applied
	m.watermark = max(m.watermark, e.watermark)
	if e.flags&doubts != 0 {
		m.doubt, m.doubtedAt = e.reason, s.seq
	}
	m.left = time.Time{}
	if e.flags&leaves != 0 && !m.loading {
		m.left = time.Now()
		f.wake()
	}
	return nil
}

// newTerm notes the term of a leader and tells whether it is new here. Sequence
// numbers alone don't say so: Redis may have gone back to an old copy, and
// then they are given a second time. REQUIRES: f.mu held.
func (f *follower) newTerm(nonce uint64) bool {
	m := &f.mu
	if n := len(m.terms); n > 0 && m.terms[n-1] == nonce || slices.Contains(m.terms, nonce) {
		return false
	}
	if len(m.terms) == maxTerms {
		m.terms = slices.Delete(m.terms, 0, maxTerms/2)
	}
	m.terms = append(m.terms, nonce)
	return true
}

// maxTerms bounds the terms that are remembered.
const maxTerms = 256

// enter begins to follow at a keyframe. What the guard has stays if it is of
// the same history and nothing in between is missing. REQUIRES: f.mu held.
func (f *follower) enter(e *entry) {
	m := &f.mu
	epoch := f.l.guard.Epoch()
	if e.epoch == epoch && e.from <= f.l.guard.Applied() {
		f.l.log.Info("read the relay again: nothing was missed", "sequence", m.seq)
		return
	}
	reason := "gap"
	switch {
	case epoch == 0:
		reason = "start"
	case e.flags&begins != 0:
		reason = e.reason
	case m.doubt != "":
		reason = m.doubt
	}
	f.l.enterEpoch(e.epoch, reason, e.from)
	m.floor, m.watermark = e.from, 0
	if e.flags&begins != 0 {
		m.watermark = e.from
	}
	if e.epoch != epoch {
		m.doubt, m.older = "", false
	}
	m.term++
}

// announce takes a leader's announcement. REQUIRES: f.mu held.
func (f *follower) announce(a *announcement) {
	m := &f.mu
	if m.announced == nil || m.announced.server != a.server {
		m.term++
	}
	m.announced = a
	if own := f.l.system(); a.server.system != own && a.server.system != m.foreign {
		m.foreign = a.server.system
		f.l.log.Error("the relay is that of another database cluster, and nothing in it counts here: if both are in use, give each a redis.namespace of its own",
			"system", a.server.system, "here", own, "slot", f.l.cfg.Slot)
	}
	m.mapping = newMapping(a.tables, f.l.guard.Tables())
}

// apply applies an entry's transactions and moves the guard. REQUIRES: f.mu
// held.
func (f *follower) apply(e *entry) error {
	c := cursor{rest: e.transactions}
	for range e.count {
		if err := readTransaction(&c, f.mu.mapping, f.tx); err != nil {
			return err
		}
		if f.tx.End > e.applied {
			return errors.New("a transaction of the relay ends beyond its entry")
		}
		f.l.apply(f.tx)
	}
	if len(c.rest) > 0 {
		return errLong
	}
	f.l.guard.Advance(e.applied)
	f.l.guard.SettleTo(e.watermark)
	return nil
}
