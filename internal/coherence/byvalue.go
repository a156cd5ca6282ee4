package coherence

import (
	"iter"
	"math/bits"
	"math/rand/v2"
)

// byValue finds the nodes of a shape by the hash of their values. It is a
// table by linear hashing: it grows and shrinks by one slot at a time, so no
// commit waits while a large table is copied, and it takes about one pointer
// for each value whatever the number of values.
//
// A slot leads to a chain of heads, one for each value that falls into it, and
// a head to the list of the nodes of its value. So what a value is looked for
// costs doesn't depend on how many responses depend on the others of its slot.
//
// INVARIANT: a slot holds the heads of just those values that place gives it.
// INVARIANT: n.prev.next == n for every node but a head. Of a head, prev is the
// next head of its slot, whose next is never n: a node is in one list only.
type byValue struct {
	seed     uint64    // values come from requests: who sends them can't know what falls together
	segments [][]*node // each has segmentSlots, but for the last
	slots    int
	values   int // heads
	nodes    int
}

// Sizes of the table.
const (
	segmentBits  = 12
	segmentSlots = 1 << segmentBits // 32 KiB, the smallest that the allocator rounds up by nothing
	minSlots     = 4
)

func newByValue() byValue {
	b := byValue{seed: rand.Uint64()}
	for range minSlots {
		b.addSlot()
	}
	return b
}

// slot is the place of slot i. It is valid until a slot is added or taken away.
func (b *byValue) slot(i uint64) **node { return &b.segments[i>>segmentBits][i&(segmentSlots-1)] }

// place is the slot of a value. The last slots that the next power of two has
// and the table has not are those of the lower half.
func (b *byValue) place(sum uint64) uint64 {
	h := mix(sum ^ b.seed)
	mask := uint64(1)<<bits.Len(uint(b.slots-1)) - 1
	if i := h & mask; i < uint64(b.slots) {
		return i
	}
	return h & (mask >> 1)
}

// to is the pointer that leads to the head of a value, and where it would hang
// if there is none.
func (b *byValue) to(sum uint64) **node {
	at := b.slot(b.place(sum))
	for *at != nil && (*at).dep.sum != sum {
		at = &(*at).prev
	}
	return at
}

// first returns the newest node of a value; the others follow by next.
func (b *byValue) first(sum uint64) *node { return *b.to(sum) }

func (b *byValue) insert(n *node) {
	b.nodes++
	at := b.to(n.dep.sum)
	head := *at
	*at, n.next = n, head
	if head != nil {
		n.prev, head.prev = head.prev, n
		return
	}
	n.prev = nil
	if b.values++; b.values > b.slots {
		b.grow()
	}
}

func (b *byValue) remove(n *node) {
	b.nodes--
	next, prev := n.next, n.prev
	n.next, n.prev = nil, nil
	switch {
	case prev != nil && prev.next == n: // no head
		prev.next = next
		if next != nil {
			next.prev = prev
		}
	case next != nil:
		*b.to(n.dep.sum) = next
		next.prev = prev
	default:
		*b.to(n.dep.sum) = prev
		b.values--
		for b.values < b.slots/2 && b.slots > minSlots {
			b.shrink()
		}
	}
}

// all iterates over the nodes. REQUIRES: no insert or remove meanwhile.
func (b *byValue) all() iter.Seq[*node] {
	return func(yield func(*node) bool) {
		for _, segment := range b.segments {
			for _, head := range segment {
				for ; head != nil; head = head.prev {
					for n := head; n != nil; n = n.next {
						if !yield(n) {
							return
						}
					}
				}
			}
		}
	}
}

// grow adds a slot and moves into it what falls there now. All of that was in
// its partner, the slot of the lower half with the same low bits.
func (b *byValue) grow() {
	b.addSlot()
	b.rehang(b.partner())
}

// shrink takes the last slot away. What was in it falls into its partner now.
func (b *byValue) shrink() {
	at := b.slot(uint64(b.slots - 1))
	heads, partner := *at, b.slot(b.partner())
	*at = nil
	for heads != nil {
		n := heads
		heads = n.prev
		n.prev = *partner
		*partner = n
	}
	b.slots--
	last := len(b.segments) - 1
	if b.segments[last] = b.segments[last][:len(b.segments[last])-1]; len(b.segments[last]) == 0 {
		b.segments[last] = nil
		b.segments = b.segments[:last]
	}
}

// partner is the slot that shares its values with the last one.
func (b *byValue) partner() uint64 {
	last := uint64(b.slots - 1)
	return last &^ (1 << (bits.Len64(last) - 1))
}

// rehang gives the heads of a slot their places anew.
func (b *byValue) rehang(i uint64) {
	at := b.slot(i)
	heads := *at
	*at = nil
	for heads != nil {
		n := heads
		heads = n.prev
		at := b.slot(b.place(n.dep.sum))
		n.prev = *at
		*at = n
	}
}

func (b *byValue) addSlot() {
	last := len(b.segments) - 1
	switch {
	case b.slots == 0:
		b.segments = append(b.segments, make([]*node, 0, minSlots))
		last = 0
	case b.slots%segmentSlots == 0:
		b.segments = append(b.segments, make([]*node, 0, segmentSlots))
		last++
	case len(b.segments[last]) == cap(b.segments[last]): // only the first ever is
		b.segments[last] = append(make([]*node, 0, 2*b.slots), b.segments[last]...)
	}
	b.segments[last] = append(b.segments[last], nil)
	b.slots++
}
