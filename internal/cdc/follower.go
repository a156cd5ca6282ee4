package cdc

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"walpurge/internal/cdc/catalogue"
	"walpurge/internal/coherence"
	"walpurge/internal/relay"
	"walpurge/internal/retry"
)

// follower reads the relay while another process leads, and before this one
// does. It lives as long as its Listener and knows at every moment how far
// the stream and the guard agree.
type follower struct {
	*shared
	stream *relay.Stream
	tx     *coherence.Transaction

	group    *errgroup.Group // of the reader and the prober
	vacancy  catalogue.Vacancy
	peers    *relay.Peers // nil: there are none
	describe func() Status
	wanting  chan struct{} // of capacity 1: a strict read waits for the relay

	mu struct {
		sync.Mutex
		replay

		leading   bool          // the stream is written here, not read
		writer    *relay.Writer // of the one that leads; nil: nobody leads here
		attempt   bool          // a session is about to start an epoch
		loading   bool          // the end of the stream has not been seen yet
		proving   bool          // what the primary says proves freshness here
		term      int           // counts changes of proving and of the server
		changed   chan struct{}
		said      string
		foreign   string       // the cluster of a stream that isn't this one's, once it has been logged
		members   []relay.Peer // of the slot, as of late
		left      time.Time    // when a leader has said that the slot is about to be free
		elsewhere string       // why the server that answers here doesn't count; empty: it does, or none has answered
		request   uint64       // for a look at the server; 0: none, or it has been answered
		answered  bool
	}
}

func newFollower(l *Listener, c *relay.Config, database string) *follower {
	f := &follower{shared: l.shared, stream: c.Stream(database, l.cfg.Slot)}
	f.peers, f.describe = c.Peers(f.stream), l.Status
	f.tx = coherence.NewTransaction(l.guard.Tables(), 1<<30)
	f.wanting = make(chan struct{}, 1)
	f.mu.changed = make(chan struct{})
	f.mu.loading = true
	return f
}

// relayBlock is how long a read waits for an entry.
const relayBlock = 250 * time.Millisecond

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
	f.vacancy.Close()
}

// read reads the stream and applies it, for ever.
func (f *follower) read(ctx context.Context) error {
	pauses := retry.Backoff{Chance: f.cfg.Chance}
	checked := time.Now()
	for ctx.Err() == nil {
		f.mu.Lock()
		leading, from, changed := f.mu.leading, f.mu.Seq, f.mu.changed
		f.mu.Unlock()
		if leading {
			select {
			case <-ctx.Done():
			case <-changed:
			}
			continue
		}
		entries, err := f.stream.Read(ctx, from, relayBlock)
		if err == nil && len(entries) == 0 && time.Since(checked) >= relay.Wait {
			checked = time.Now()
			err = f.check(ctx, from)
		}
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			f.trouble(forRelay, err)
			retry.Wait(ctx, min(pauses.Next(), relay.Wait))
			continue
		}
		pauses.Reset()
		f.take(from, entries)
	}
	return nil
}

// take ingests entries that were read after the entry from, unless a session
// has read them meanwhile, or has become the one to write.
func (f *follower) take(from uint64, entries []relay.Message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.mu.leading && f.mu.Seq == from {
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
	newest, err := f.stream.Last(ctx)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.leading || f.mu.Seq != from || newest.Seq > from {
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
func (f *follower) compare(newest relay.Message) {
	m := &f.mu
	if newest.Seq == m.Seq && (!m.known || newest.Blob != nil && newest.Sum() == m.Sum) {
		return
	}
	if m.known {
		f.log.Warn("the relay has lost entries: Redis has restarted, failed over or been emptied", "read", m.Seq, "last", newest.Seq)
	}
	m.known, m.loading, m.Seq, m.Sum = false, true, 0, 0
}
