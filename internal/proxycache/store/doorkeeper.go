package store

import (
	"math/bits"
	"sync/atomic"
	"time"

	"walpurge/internal/coherence"
)

// doorkeeper decides which responses from Redis are worth a place in the memory
// tier. With room there, all are. In a full one each takes another's place, and
// with far more responses in Redis than fit nearly all would leave again before
// they are asked for: then only what comes twice is let in, the second time
// within about as many reads as the tier has entries.
//
// It remembers the last key that was read for each of its slots, by a piece of
// the key's hash. One that is taken for another gets in early, and no more.
type doorkeeper struct {
	slots []atomic.Uint32 // a power of two
	limit uint64          // of bytes, from which on the tier is full

	looked atomic.Int64 // when full was found out, in Nanos
	full   atomic.Bool
}

const (
	// doorSlot is how many bytes of the memory tier make a slot: about a
	// response.
	doorSlot = 2 << 10
	// doorLook is how often it is looked whether the tier is full: the cache
	// takes a lock to tell.
	doorLook = coherence.Nanos(10 * time.Millisecond)
)

func newDoorkeeper(size int64) *doorkeeper {
	n := 1 << bits.Len64(uint64(size)/doorSlot)
	return &doorkeeper{slots: make([]atomic.Uint32, n), limit: uint64(size) - uint64(size)/8}
}

// again tells whether the place was asked about before, and forgets it then.
func (d *doorkeeper) again(at place) bool {
	slot := &d.slots[uint64(at)&uint64(len(d.slots)-1)]
	tag := uint32(at>>32) | 1
	return slot.CompareAndSwap(tag, 0) || slot.Swap(tag) == tag
}

// crowded tells whether the memory tier was full a moment ago.
func (d *doorkeeper) crowded(m *Memory) bool {
	now, looked := int64(m.Now()), d.looked.Load()
	if now-looked >= int64(doorLook) && d.looked.CompareAndSwap(looked, now) {
		d.full.Store(m.Bytes() >= d.limit)
	}
	return d.full.Load()
}

// Worth tells whether a response from Redis is to be kept here, too. first is
// whether the caller is the one for whom it was read.
func (m *Memory) Worth(key string, first bool) bool {
	if !m.door.crowded(m) {
		return first
	}
	return m.door.again(m.place(key))
}

// Crowd has the tier taken for full, or for one with room, from now on.
func (m *Memory) Crowd(full bool) {
	m.door.full.Store(full)
	m.door.looked.Store(1 << 62)
}
