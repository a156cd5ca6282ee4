package cdc

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"

	"walpurge/internal/coherence"
)

// catchUp reads the stream to its end. REQUIRES: f.mu held.
func (f *follower) catchUp(ctx context.Context) error {
	for {
		entries, err := f.stream.read(ctx, f.mu.seq, 0)
		if err != nil {
			return err
		}
		if len(entries) > 0 {
			f.ingest(entries)
			continue
		}
		newest, err := f.stream.last(ctx)
		if err != nil {
			return err
		}
		if newest.seq > f.mu.seq {
			continue
		}
		f.compare(newest)
		if f.mu.seq != newest.seq {
			continue // from the oldest
		}
		f.ingest(nil)
		return nil
	}
}

// adopt makes the stream's history the one that a session has to continue.
// REQUIRES: f.mu held.
func (f *follower) adopt(ctx context.Context) error {
	m, h := &f.mu, &f.l.history
	err := f.catchUp(ctx)
	if m.known {
		h.begun, h.server, h.fingerprint = true, m.announced.server, m.announced.fingerprint
		if m.announced.origin != f.origin() {
			h.server = server{} // another database's
		}
	}
	switch {
	case m.doubt != "":
		h.doubt = m.doubt
	case m.known:
		h.doubt = ""
	case err == nil && f.l.guard.Epoch() != 0 && h.doubt == "":
		h.doubt = "redis" // a stream was followed, and is gone
	}
	return err
}

// origin names what a stream may be about.
func (f *follower) origin() string { return f.l.cfg.Slot + " " + f.l.cfg.Publication }

// held is the position up to which both the guard and the stream have
// everything.
func (f *follower) held() coherence.LSN {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.mu.known {
		return f.l.guard.Applied()
	}
	return min(f.mu.applied, f.l.guard.Applied())
}

// unsettled is the floor if commits below it may not be visible yet, or 0.
func (f *follower) unsettled() coherence.LSN {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.watermark >= f.mu.floor {
		return 0
	}
	return f.mu.floor
}

// sequence is the last entry that was read or written.
func (f *follower) sequence() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.seq
}

// settle notes that everything up to at is visible: the horizon has passed.
func (f *follower) settle(at coherence.LSN) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.watermark = max(f.mu.watermark, at)
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
func (s *session) lead(ctx context.Context, p plan, at coherence.LSN) error {
	reason := p.reason
	l, f := s.l, s.l.follower
	f.mu.Lock()
	defer f.mu.Unlock()
	m := &f.mu
	reachable := f.adopt(ctx) == nil
	held := m.applied
	if !m.known {
		held = l.guard.Applied()
	}
	if reason != "" && m.seq != p.read {
		return errMoved // the reason may be that the plan is old
	}
	if now := l.reasonFrom(s, standing{p.position, l.guard.Applied(), at, p.provided, p.setBack}, min(held, l.guard.Applied())); (now == "") != (reason == "") || now == "" && m.watermark < m.floor {
		return errMoved
	}
	w := &relayWriter{f: f, wake: make(chan struct{}, 1), asked: make(chan struct{}, 1), nonce: random(), announced: &announcement{
		server: s.server, origin: f.origin(), fingerprint: s.catalogue.fingerprint, tables: l.guard.Tables(),
	}}
	w.at = m.streamEnd
	w.pace.most = l.maxLag() / paceFraction
	if reachable {
		top, err := f.stream.top(ctx)
		if err == nil && top != w.at.seq && m.known {
			return errMoved
		}
		w.at.seq = max(w.at.seq, top)
	}
	e := &entry{flags: keyframe | takesOver, announced: w.announced, nonce: w.nonce, prev: w.at.sum, from: held, applied: held}
	e.epoch, e.watermark = l.guard.Epoch(), min(l.guard.Watermark(), held)
	if reason != "" {
		e.flags |= begins
		e.reason = reason
		e.epoch, e.from, e.applied, e.watermark = coherence.Epoch(random()), at, at, at
	}
	m.leading = true
	f.review()
	w.mu.applied, w.mu.last, w.mu.sent = e.applied, e.applied, e.applied
	f.mu.Unlock()
	err := w.add(ctx, e)
	f.mu.Lock()
	switch {
	case errors.Is(err, errFenced):
		return err
	case err != nil:
		// Redis doesn't answer. The entry stays the next to be written.
		l.trouble("relay", err)
	}
	if reason != "" {
		l.enterEpoch(e.epoch, reason, at)
		m.floor, m.watermark = at, at
	}
	m.doubt, m.older, m.elsewhere = "", false, ""
	l.writer = w
	return nil
}

// endTerm makes this process a follower again.
func (l *Listener) endTerm() {
	f := l.follower
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	w := l.writer
	l.writer, f.mu.leading = nil, false
	if w != nil && !w.opened && f.mu.epoch != l.guard.Epoch() {
		// The guard has an epoch that the stream knows nothing of.
		f.mu.known, f.mu.loading, f.mu.seq, f.mu.sum = false, true, 0, 0
	}
	f.review()
	f.wake()
}

// resumable is the position that a session which continues the history need
// not ask for again: it is settled here, and the relay has it.
func (l *Listener) resumable() coherence.LSN {
	if l.follower == nil {
		return l.guard.Watermark()
	}
	return min(l.guard.Watermark(), l.follower.held())
}

// adopt takes over the history that the relay tells, if there is one.
func (l *Listener) adopt(ctx context.Context) {
	if l.follower == nil {
		return
	}
	l.follower.mu.Lock()
	defer l.follower.mu.Unlock()
	if err := l.follower.adopt(ctx); err != nil {
		l.trouble("relay", err)
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
func (f *follower) wrote(e *entry, seq uint64, blob []byte) streamEnd {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := &f.mu
	m.streamEnd = streamEnd{seq: seq, sum: checksum(blob), epoch: e.epoch, applied: e.applied, watermark: e.watermark}
	m.known, m.loading = true, false
	if e.flags&keyframe != 0 {
		f.announce(e.announced)
	}
	if e.flags&takesOver != 0 {
		f.newTerm(e.nonce)
	}
	f.keep(e, streamed{seq, blob})
	return m.streamEnd
}

// keep counts what the stream holds. REQUIRES: f.mu held.
func (f *follower) keep(e *entry, s streamed) {
	m := &f.mu
	if e.flags&begins != 0 {
		m.segments, m.entryKept, m.bytesKept, m.cut = nil, 0, 0, 0
	}
	if e.flags&keyframe != 0 {
		m.segments = append(m.segments, segment{seq: s.seq})
	}
	n := len(m.segments)
	if n == 0 {
		return
	}
	m.segments[n-1].count++
	m.segments[n-1].bytes += int64(len(s.blob))
	m.entryKept++
	m.bytesKept += int64(len(s.blob))
	for len(m.segments) > 1 && (m.entryKept >= f.relay.MaxEntries || m.bytesKept >= f.relay.MaxBytes) {
		m.entryKept -= m.segments[0].count
		m.bytesKept -= m.segments[0].bytes
		m.segments = m.segments[1:]
		m.cut = m.segments[0].seq
	}
}

// trim is the entry before which the stream may be cut once e is added as
// seq; 0 leaves it as it is. What lies before an epoch is of no use.
func (f *follower) trim(e *entry, seq uint64) uint64 {
	if e.flags&begins != 0 {
		return seq
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	to := f.mu.cut
	f.mu.cut = 0
	return to
}
