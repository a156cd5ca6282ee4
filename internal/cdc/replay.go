package cdc

import (
	"errors"
	"time"

	"walpurge/internal/cdc/catalogue"
	"walpurge/internal/coherence"
	"walpurge/internal/relay"
)

// replay is what has been read of the stream.
type replay struct {
	relay.End
	known     bool // the guard has everything from floor up to End
	floor     coherence.LSN
	announced *relay.Announcement
	accepted  *catalogue.Look // what the leader goes by of the catalogue; nil: an older version leads, which doesn't say so
	mapping   *relay.Mapping
	doubt     string      // why the next leader must start an epoch; empty: it need not
	doubtedAt uint64      // the sequence by then
	older     bool        // a server that was not the announced one ended before what was applied
	terms     relay.Terms // that were seen
}

// ingest applies entries that follow each other in the stream. What can't be
// understood, or doesn't follow what was read before, is a gap: reading starts
// again at the oldest entry. An empty list says that the end has been reached.
// REQUIRES: f.mu held.
func (f *follower) ingest(entries []relay.Message) {
	for i := range entries {
		s, wasKnown := &entries[i], f.mu.known
		if err := f.entry(s); err != nil {
			f.mu.known = false
			if said := err.Error(); said != f.mu.said {
				f.mu.said = said
				f.log.Warn("the relay can't be followed from here", "sequence", s.Seq, "error", err)
			}
		}
		if !f.mu.known && wasKnown && !f.mu.loading {
			f.mu.Seq, f.mu.Sum, f.mu.loading = 0, 0, true
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
func (f *follower) entry(s *relay.Message) error {
	m := &f.mu
	follows := m.known && s.Seq == m.Seq+1
	m.Seq = s.Seq
	e, err := s.Entry()
	if err != nil {
		return err
	}
	f.hear(e)
	follows = follows && e.Prev == m.Sum && (e.Epoch == m.Epoch || e.Begins)
	m.Sum = s.Sum()
	f.stream.Keep(e, *s)
	if e.Announced == nil {
		if !follows {
			if !m.known {
				return nil // still looking for a place to begin
			}
			return errGap
		}
	} else {
		f.announce(e.Announced)
	}
	if !follows || e.Begins {
		f.enter(e)
	}
	if m.terms.New(e.Nonce) || e.TakesOver && s.Seq > m.doubtedAt {
		m.doubt = "" // who took over has looked, and continues
	}
	if err := f.apply(e); err != nil {
		return err
	}
	m.known, m.Epoch, m.Applied = true, e.Epoch, e.Applied
	m.Watermark = max(m.Watermark, e.Watermark)
	if e.Doubts {
		m.doubt, m.doubtedAt = e.Reason, s.Seq
	}
	m.left = time.Time{}
	if e.Leaves && !m.loading {
		m.left = time.Now()
		f.wake()
	}
	return nil
}

// enter begins to follow at a keyframe. What the guard has stays if it is of
// the same history and nothing in between is missing. REQUIRES: f.mu held.
func (f *follower) enter(e *relay.Entry) {
	m := &f.mu
	epoch := f.guard.Epoch()
	if e.Epoch == epoch && e.From <= f.guard.Applied() {
		f.log.Info("read the relay again: nothing was missed", "sequence", m.Seq)
		return
	}
	reason := "gap"
	switch {
	case epoch == 0:
		reason = "start"
	case e.Begins:
		reason = e.Reason
	case m.doubt != "":
		reason = m.doubt
	}
	f.enterEpoch(e.Epoch, reason, e.From)
	m.floor, m.Watermark = e.From, 0
	if e.Begins {
		m.Watermark = e.From
	}
	if e.Epoch != epoch {
		m.doubt, m.older = "", false
	}
	m.term++
}

// announce takes a leader's announcement. REQUIRES: f.mu held.
func (f *follower) announce(a *relay.Announcement) {
	m := &f.mu
	if m.announced == nil || m.announced.Server != a.Server {
		m.term++
	}
	if m.announced == nil || m.announced.Fingerprint != a.Fingerprint {
		m.accepted = catalogue.ParseLook(a.Fingerprint)
	}
	m.announced = a
	if own := f.system(); a.Server.System != own && a.Server.System != m.foreign {
		m.foreign = a.Server.System
		f.log.Error("the relay is that of another database cluster, and nothing in it counts here: if both are in use, give each a redis.namespace of its own",
			"system", a.Server.System, "here", own, "slot", f.cfg.Slot)
	}
	m.mapping = a.Onto(f.guard.Tables())
}

// apply applies an entry's transactions and moves the guard. REQUIRES: f.mu
// held.
func (f *follower) apply(e *relay.Entry) error {
	if err := e.Each(f.mu.mapping, f.tx, f.shared.apply); err != nil {
		return err
	}
	f.guard.Advance(e.Applied)
	f.guard.SettleTo(e.Watermark)
	if e.Announced != nil && f.mu.accepted != nil {
		f.settleLost(f.mu.accepted) // after what drops what was read before
		f.noteLost(f.mu.accepted.Lost)
	}
	return nil
}
