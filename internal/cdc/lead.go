package cdc

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"

	"walpurge/internal/cdc/primary"
	"walpurge/internal/coherence"
	"walpurge/internal/relay"
)

// catchUp reads the stream to its end. REQUIRES: f.mu held.
func (f *follower) catchUp(ctx context.Context) error {
	for {
		entries, err := f.stream.Read(ctx, f.mu.Seq, 0)
		if err != nil {
			return err
		}
		if len(entries) > 0 {
			f.ingest(entries)
			continue
		}
		newest, err := f.stream.Last(ctx)
		if err != nil {
			return err
		}
		if newest.Seq > f.mu.Seq {
			continue
		}
		f.compare(newest)
		if f.mu.Seq != newest.Seq {
			continue // from the oldest
		}
		f.ingest(nil)
		return nil
	}
}

// adopt makes the stream's history, if there is one, h: the one that a session
// has to continue. REQUIRES: f.mu held.
func (f *follower) adopt(ctx context.Context, h *history) error {
	m := &f.mu
	err := f.catchUp(ctx)
	if m.known {
		h.begun, h.server, h.fingerprint = true, serverOf(m.announced.Server), m.announced.Fingerprint
		if m.announced.Origin != f.origin() {
			h.server = primary.Server{} // another database's
		}
	}
	switch {
	case m.doubt != "":
		h.doubt = m.doubt
	case m.known:
		h.doubt = ""
	case err == nil && f.guard.Epoch() != 0 && h.doubt == "":
		h.doubt = "redis" // a stream was followed, and is gone
	}
	return err
}

// origin names what a stream may be about.
func (f *follower) origin() string { return f.cfg.Slot + " " + f.cfg.Publication }

// held is the position up to which both the guard and the stream have
// everything.
func (f *follower) held() coherence.LSN {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.mu.known {
		return f.guard.Applied()
	}
	return min(f.mu.Applied, f.guard.Applied())
}

// unsettled is the floor if commits below it may not be visible yet, or 0.
func (f *follower) unsettled() coherence.LSN {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.Watermark >= f.mu.floor {
		return 0
	}
	return f.mu.floor
}

// sequence is the last entry that was read or written.
func (f *follower) sequence() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.Seq
}

// settle notes that everything up to at is visible: the horizon has passed.
func (f *follower) settle(at coherence.LSN) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.Watermark = max(f.mu.Watermark, at)
}

// hesitate stops proofs while a session is about to start an epoch.
func (f *follower) hesitate() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.attempt = true
	f.review()
}

// errMoved says that another process has led meanwhile.
var errMoved = errors.New("another process has written to the relay while the slot was taken: looking again")

// lead makes this process the one that writes the relay. The slot is its own
// already, and its stream starts at at. Another outcome than the one planned is
// an error: somebody led in between.
func (o *opening) lead(ctx context.Context, p plan, at coherence.LSN) error {
	reason := p.reason
	f := o.follower
	f.mu.Lock()
	defer f.mu.Unlock()
	m := &f.mu
	reachable := f.adopt(ctx, o.history) == nil
	held := m.Applied
	if !m.known {
		held = o.guard.Applied()
	}
	if reason != "" && m.Seq != p.read {
		return errMoved // the reason may be that the plan is old
	}
	if now := o.reasonFrom(standing{p.position, o.guard.Applied(), at, p.provided, p.setBack}, min(held, o.guard.Applied())); (now == "") != (reason == "") || now == "" && m.Watermark < m.floor {
		return errMoved
	}
	t := relay.Term{
		Stream: f.stream, After: m.End, Nonce: random(), MaxLag: o.maxLag(),
		Announced: &relay.Announcement{Server: announced(o.server), Origin: f.origin(), Fingerprint: o.sight.accepted().String(), Tables: o.guard.Tables()},
		Watermark: o.guard.Watermark, Wrote: f.wrote, Trouble: func(err error) { o.trouble(forRelay, err) },
		Chance: o.cfg.Chance, Logger: o.log,
	}
	if reachable {
		top, err := f.stream.Top(ctx)
		if err == nil && top != t.After.Seq && m.known {
			return errMoved
		}
		t.After.Seq = max(t.After.Seq, top)
	}
	e := &relay.Entry{TakesOver: true, Announced: t.Announced, Nonce: t.Nonce, Prev: t.After.Sum, From: held, Applied: held}
	e.Epoch, e.Watermark = o.guard.Epoch(), min(o.guard.Watermark(), held)
	if reason != "" {
		e.Begins, e.Reason = true, reason
		e.Epoch, e.From, e.Applied, e.Watermark = coherence.Epoch(random()), at, at, at
	}
	m.leading = true
	f.review()
	f.mu.Unlock()
	w := relay.NewWriter(t)
	err := w.Open(ctx, e)
	f.mu.Lock()
	switch {
	case errors.Is(err, relay.ErrFenced):
		return err
	case err != nil:
		// Redis doesn't answer. The entry stays the next to be written.
		o.trouble(forRelay, err)
	}
	if reason != "" {
		o.enterEpoch(e.Epoch, reason, at)
		m.floor, m.Watermark = at, at
	}
	m.doubt, m.older, m.elsewhere = "", false, ""
	m.writer, o.writer, o.progress.writer = w, w, w
	return nil
}

// broken is err as a doubt if it says that others can't continue the history.
func broken(err error) error {
	var b *relay.BrokenError
	if errors.As(err, &b) {
		return &doubt{b.Reason, err}
	}
	return err
}

// endTerm makes this process a follower again. Without a relay there is none.
func (f *follower) endTerm() {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.mu.writer
	f.mu.writer, f.mu.leading = nil, false
	if w != nil && !w.Begun() && f.mu.Epoch != f.guard.Epoch() {
		// The guard has an epoch that the stream knows nothing of.
		f.mu.known, f.mu.loading, f.mu.Seq, f.mu.Sum = false, true, 0, 0
	}
	f.review()
	f.wake()
}

// resumable is the position that a session which continues the history need
// not ask for again: it is settled here, and the relay has it.
func (o *opening) resumable() coherence.LSN {
	if o.follower == nil {
		return o.guard.Watermark()
	}
	return min(o.guard.Watermark(), o.follower.held())
}

// adopt takes over the history that the relay tells, if there is one.
func (o *opening) adopt(ctx context.Context) {
	if o.follower == nil {
		return
	}
	o.follower.mu.Lock()
	defer o.follower.mu.Unlock()
	if err := o.follower.adopt(ctx, o.history); err != nil {
		o.trouble(forRelay, err)
	}
}

// random is never zero.
func random() uint64 {
	var b [8]byte
	for binary.NativeEndian.Uint64(b[:]) == 0 {
		_, _ = rand.Read(b[:]) // never fails
	}
	return binary.NativeEndian.Uint64(b[:])
}

// wrote notes an entry that this process has written.
func (f *follower) wrote(e *relay.Entry, end relay.End) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := &f.mu
	m.End = end
	m.known, m.loading = true, false
	if e.Announced != nil {
		f.announce(e.Announced)
	}
	if e.TakesOver {
		m.terms.New(e.Nonce)
	}
}
