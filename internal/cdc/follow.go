package cdc

import (
	"context"
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

// wake tells those who wait for a change. REQUIRES: f.mu held.
func (f *follower) wake() {
	close(f.mu.changed)
	f.mu.changed = make(chan struct{})
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
