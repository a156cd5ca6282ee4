package fill

import (
	"hash/maphash"
	"sync/atomic"
	"time"

	"walpurge/internal/coherence"
	"walpurge/internal/proxycache/outcome"
)

// memo remembers for a few seconds which keys had responses that could not be
// stored, so that requests for them don't wait for each other (C3). Its size
// is fixed; a key that takes another's place costs the other a short wait.
type memo struct {
	seed  maphash.Seed
	slots []atomic.Uint64 // the upper half of the hash, and the second until which it counts
}

const (
	memoBits = 14
	memoTime = 5 * coherence.Nanos(time.Second)
)

func newMemo() *memo {
	return &memo{seed: maphash.MakeSeed(), slots: make([]atomic.Uint64, 1<<memoBits)}
}

func (m *memo) slot(key string) (*atomic.Uint64, uint64) {
	h := maphash.String(m.seed, key)
	return &m.slots[h&(1<<memoBits-1)], h &^ (1<<32 - 1)
}

// until is a point in time in tenths of a second, which last for 13 years.
func until(t coherence.Nanos) uint64 { return uint64(t) / 1e8 & (1<<32 - 1) }

func (m *memo) add(key string, now coherence.Nanos) {
	s, h := m.slot(key)
	s.Store(h | until(now+memoTime))
}

func (m *memo) Has(key string, now coherence.Nanos) bool {
	s, h := m.slot(key)
	v := s.Load()
	return v&^(1<<32-1) == h && v&(1<<32-1) > until(now)
}

// Reason says why a key isn't waited for, if that is known.
func (m *memo) Reason(key string, now coherence.Nanos) outcome.Reason {
	if m.Has(key, now) {
		return outcome.Uncacheable
	}
	return outcome.NoReason
}
