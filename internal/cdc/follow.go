package cdc

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sync/errgroup"

	"walpurge/internal/coherence"
)

// follower reads the relay while another process leads, and before this one
// does. It lives as long as its Listener and knows at every moment how far
// the stream and the guard agree.
type follower struct {
	l      *Listener
	relay  Relay
	stream stream
	tx     *coherence.Transaction

	group    *errgroup.Group // of the reader and the prober
	vacancy  vacancy
	register register
	wanting  chan struct{} // of capacity 1: a strict read waits for the relay

	mu struct {
		sync.Mutex
		streamEnd
		known     bool // the guard has everything from floor up to streamEnd
		floor     coherence.LSN
		announced *announcement
		mapping   *mapping
		doubt     string   // why the next leader must start an epoch; empty: it need not
		doubtedAt uint64   // the sequence by then
		older     bool     // a server that was not the announced one ended before what was applied
		terms     []uint64 // nonces of those that were seen, the latest last

		leading   bool // the stream is written here, not read
		attempt   bool // a session is about to start an epoch
		loading   bool // the end of the stream has not been seen yet
		proving   bool // what the primary says proves freshness here
		term      int  // counts changes of proving and of the server
		changed   chan struct{}
		said      string
		foreign   string // the cluster of a stream that isn't this one's, once it has been logged
		segments  []segment
		entryKept int
		bytesKept int64
		cut       uint64    // the stream may be cut before this entry
		members   []Member  // of the slot, as of late
		left      time.Time // when a leader has said that the slot is about to be free
		elsewhere string    // why the server that answers here doesn't count; empty: it does, or none has answered
		request   uint64    // for a look at the server; 0: none, or it has been answered
		answered  bool
	}
}

// streamEnd is where a stream ends.
type streamEnd struct {
	seq       uint64
	sum       uint64 // checksum of the last entry
	epoch     coherence.Epoch
	applied   coherence.LSN
	watermark coherence.LSN
}

// segment is the entries from one keyframe up to the next.
type segment struct {
	seq   uint64 // of the keyframe
	count int
	bytes int64
}

func checksum(blob []byte) uint64 { return xxhash.Sum64(blob) }

func newFollower(l *Listener, r Relay, database string) *follower {
	if r.MaxEntries == 0 {
		r.MaxEntries = relayEntries
	}
	if r.MaxBytes == 0 {
		r.MaxBytes = relayBytes
	}
	f := &follower{l: l, relay: r, stream: stream{redisStream{r.Client, r.key(database, l.cfg.Slot)}}}
	f.register = register{client: r.Client, key: r.key(database, l.cfg.Slot) + ":members"}
	f.tx = coherence.NewTransaction(l.guard.Tables(), 1<<30)
	f.vacancy.l = l
	f.wanting = make(chan struct{}, 1)
	f.mu.changed = make(chan struct{})
	f.mu.loading = true
	return f
}

func (f *follower) patience() time.Duration {
	if f.relay.Patience > 0 {
		return f.relay.Patience
	}
	return relayPatience
}

// begin starts to follow, or goes on.
func (f *follower) begin(ctx context.Context) {
	f.mu.Lock()
	f.mu.leading, f.mu.attempt = false, false
	f.review()
	f.wake()
	f.mu.Unlock()
	if f.group == nil {
		f.group = &errgroup.Group{}
		f.group.Go(func() error { return f.read(ctx) })
		f.group.Go(func() error { return f.prove(ctx) })
		f.group.Go(func() error { return f.demand(ctx) })
		f.group.Go(func() error { return f.gather(ctx) })
	}
}

// end waits for those whose context has ended.
func (f *follower) end() {
	if f.group != nil {
		_ = f.group.Wait()
	}
	f.vacancy.close()
}

// read reads the stream and applies it, for ever.
func (f *follower) read(ctx context.Context) error {
	pauses := backoff{chance: f.l.cfg.Chance}
	checked := time.Now()
	for ctx.Err() == nil {
		f.mu.Lock()
		leading, from, changed := f.mu.leading, f.mu.seq, f.mu.changed
		f.mu.Unlock()
		if leading {
			select {
			case <-ctx.Done():
			case <-changed:
			}
			continue
		}
		entries, err := f.stream.read(ctx, from, relayBlock)
		if err == nil && len(entries) == 0 && time.Since(checked) >= relayWait {
			checked = time.Now()
			err = f.check(ctx, from)
		}
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			f.l.trouble("relay", err)
			wait(ctx, min(pauses.next(), relayWait))
			continue
		}
		pauses.reset()
		f.take(from, entries)
	}
	return nil
}

// take ingests entries that were read after the entry from, unless a session
// has read them meanwhile, or has become the one to write.
func (f *follower) take(from uint64, entries []streamed) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.mu.leading && f.mu.seq == from {
		f.ingest(entries)
	}
}

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

// review decides whether the primary's position proves freshness here.
// REQUIRES: f.mu held.
func (f *follower) review() {
	m := &f.mu
	covered := m.known && f.covered()
	proving := covered && !m.leading && !m.attempt && m.doubt == "" && m.watermark >= m.floor
	if m.known && !covered && !m.leading {
		f.sayUncovered()
	}
	if proving == m.proving {
		return
	}
	m.proving = proving
	m.term++
	if !proving && !m.leading {
		f.l.guard.Unprove()
	}
	f.wake()
}

// covered tells whether the leader watches everything that is watched here.
// REQUIRES: f.mu held and known.
func (f *follower) covered() bool {
	return f.mu.mapping.covers() && f.mu.announced.origin == f.origin()
}

// sayUncovered says once why nothing is served. REQUIRES: f.mu held.
func (f *follower) sayUncovered() {
	said := "the process that leads doesn't watch " + f.mu.mapping.missingNames() +
		": give every proxy of the slot this configuration, or stop those that have another"
	if f.mu.announced.origin != f.origin() {
		said = "the relay is that of another slot or publication: give each its own redis.namespace"
	}
	if said != f.mu.said {
		f.mu.said = said
		f.l.log.Error("nothing is served from the cache", "error", said, "slot", f.l.cfg.Slot)
	}
}

// wake tells those who wait for a change. REQUIRES: f.mu held.
func (f *follower) wake() {
	close(f.mu.changed)
	f.mu.changed = make(chan struct{})
}

// suspect notes that the history ends here.
func (f *follower) suspect(reason string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.doubt, f.mu.doubtedAt = reason, f.mu.seq
	f.review()
}

// check makes sure that the stream still ends where it was read to.
func (f *follower) check(ctx context.Context, from uint64) error {
	newest, err := f.stream.last(ctx)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.leading || f.mu.seq != from || newest.seq > from {
		return nil
	}
	f.compare(newest)
	f.mu.loading = false
	f.review()
	return nil
}

// compare compares the stream's last entry with the last one read. If Redis
// has lost something, reading starts again at the oldest entry: who leads,
// or has led since, knows better whether the history goes on, and if nothing
// is left to read, the next leader begins another. REQUIRES: f.mu held, and
// nothing comes after the last one read.
func (f *follower) compare(newest streamed) {
	m := &f.mu
	if newest.seq == m.seq && (!m.known || newest.blob != nil && checksum(newest.blob) == m.sum) {
		return
	}
	if m.known {
		f.l.log.Warn("the relay has lost entries: Redis has restarted, failed over or been emptied", "read", m.seq, "last", newest.seq)
	}
	m.known, m.loading, m.seq, m.sum = false, true, 0, 0
}
