// Package relaytest has a relay without Redis, for tests.
package relaytest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"walpurge/internal/relay"
)

// Stream is a stream as Redis holds it, without Redis.
type Stream struct {
	mu      sync.Mutex
	exists  bool
	entries []relay.Message
	last    uint64    // survives the entries
	expires time.Time // zero: never
	changed chan struct{}
	readers int       // that wait
	wish    time.Time // until when entries are wanted at once
	asks    []uint64
	asksTo  time.Time // when they are forgotten
}

// New makes an empty one.
func New() *Stream { return &Stream{changed: make(chan struct{})} }

// now ends the stream's life if it is over. REQUIRES: m.mu held.
func (m *Stream) now() {
	if !m.expires.IsZero() && !time.Now().Before(m.expires) {
		m.drop()
	}
}

// drop removes the key. REQUIRES: m.mu held.
func (m *Stream) drop() {
	m.exists, m.entries, m.last, m.expires = false, nil, 0, time.Time{}
}

// Empty is FLUSHALL.
func (m *Stream) Empty() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drop()
	m.asks = nil
}

// Trim is XTRIM MINID.
func (m *Stream) Trim(before uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cut(before)
}

func (m *Stream) cut(before uint64) {
	m.entries = slices.DeleteFunc(m.entries, func(s relay.Message) bool { return s.Seq < before })
}

// Entries are those that it holds, the oldest first.
func (m *Stream) Entries() []relay.Message {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.entries)
}

// Last is the highest number that an entry has had.
func (m *Stream) Last() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last
}

// Copy is BGSAVE.
func (m *Stream) Copy() *Stream {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &Stream{exists: m.exists, entries: slices.Clone(m.entries), last: m.last, expires: m.expires}
}

// Restore starts again from a copy.
func (m *Stream) Restore(old *Stream) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.exists, m.entries, m.last, m.expires = old.exists, slices.Clone(old.entries), old.last, old.expires
}

// Waiting implements relay.Server.
func (m *Stream) Waiting(context.Context) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.readers, nil
}

// Want implements relay.Server.
func (m *Stream) Want(_ context.Context, life time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wish = time.Now().Add(life)
	return nil
}

// Wanted implements relay.Server.
func (m *Stream) Wanted(context.Context) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Now().Before(m.wish), nil
}

// Ask implements relay.Server.
func (m *Stream) Ask(_ context.Context, id uint64, life time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !time.Now().Before(m.asksTo) {
		m.asks = nil
	}
	if !slices.Contains(m.asks, id) {
		m.asks = append(m.asks, id)
	}
	m.asksTo = time.Now().Add(life)
	return nil
}

// Asked implements relay.Server.
func (m *Stream) Asked(_ context.Context, most int) ([]uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !time.Now().Before(m.asksTo) {
		m.asks = nil
	}
	n := min(len(m.asks), most)
	ids := slices.Clone(m.asks[:n])
	m.asks = m.asks[n:]
	return ids, nil
}

var errStreamID = errors.New("the ID must be greater than 0-0")

// Append implements relay.Server.
func (m *Stream) Append(_ context.Context, a *relay.Addition) (found bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now()
	switch {
	case a.Seq == 0:
		err = errStreamID
	case m.exists && a.Seq <= m.last:
		err = relay.ErrTaken
	default:
		m.entries = append(m.entries, relay.Message{Seq: a.Seq, Blob: slices.Clone(a.Blob)})
		m.exists, m.last = true, a.Seq
		m.cut(a.Trim)
		close(m.changed)
		m.changed = make(chan struct{})
	}
	if a.Life > 0 && m.exists {
		m.expires = time.Now().Add(a.Life)
	}
	if err != nil {
		return false, err
	}
	return a.Look != 0 && slices.ContainsFunc(m.entries, func(s relay.Message) bool { return s.Seq == a.Look }), nil
}

// After implements relay.Server.
func (m *Stream) After(ctx context.Context, seq uint64, most int, block time.Duration) ([]relay.Message, error) {
	timeout := time.NewTimer(block)
	defer timeout.Stop()
	for {
		m.mu.Lock()
		m.now()
		i := slices.IndexFunc(m.entries, func(s relay.Message) bool { return s.Seq > seq })
		var found []relay.Message
		if i >= 0 {
			found = slices.Clone(m.entries[i:min(len(m.entries), i+most)])
		}
		changed := m.changed
		waits := found == nil && block != 0
		if waits {
			m.readers++
		}
		m.mu.Unlock()
		if !waits {
			return found, nil
		}
		select {
		case <-changed:
		case <-timeout.C:
			block = 0
		case <-ctx.Done():
		}
		m.mu.Lock()
		m.readers--
		m.mu.Unlock()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

// UpTo implements relay.Server.
func (m *Stream) UpTo(_ context.Context, seq uint64) (relay.Message, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now()
	for _, s := range slices.Backward(m.entries) {
		if s.Seq <= seq {
			return s, nil
		}
	}
	return relay.Message{}, nil
}

// Highest implements relay.Server.
func (m *Stream) Highest(context.Context) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now()
	return m.last, nil
}
