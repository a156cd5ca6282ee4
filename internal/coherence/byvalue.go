package coherence

import (
	"iter"
	"math/bits"
	"math/rand/v2"
)

// byValue finds the nodes of a shape by the hash of their values. It is a
// table by linear hashing: it grows and shrinks by one slot at a time, so no
// commit waits while a large table is copied, and it takes about a pointer and
// a byte for each value, whatever their number.
//
// A slot leads to a chain of heads, one for each value that falls into it, and
// a head to the list of the nodes of its value. So what a value is looked for
// costs doesn't depend on how many responses depend on the others of its slot.
// Nearly all changes are of rows that nothing cached depends on: a slot's mark
// tells most of their values from those that are there, without a look at a
// node, which is seldom in the processor's caches.
//
// INVARIANT: a slot holds the heads of just those values that place gives it,
// and its mark has just their bits.
// INVARIANT: n.prev.next == n for every node but a head. Of a head, prev is the
// next head of its slot, whose next is never n: a node is in one list only.
type byValue struct {
	seed     uint64    // values come from requests: who sends them can't know what falls together
	segments []segment // each has segmentSlots, but for the last
	slots    int
	values   int // heads
	nodes    int
}

// segment is a piece of the table.
type segment struct {
	heads []*node
	marks []uint8
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
func (b *byValue) slot(i uint64) (head **node, mark *uint8) {
	s := &b.segments[i>>segmentBits]
	i &= segmentSlots - 1
	return &s.heads[i], &s.marks[i]
}

// place is the slot of a value, and its bit in the mark. The last slots that
// the next power of two has and the table has not are those of the lower half.
func (b *byValue) place(sum uint64) (i uint64, bit uint8) {
	h := mix(sum ^ b.seed)
	mask := uint64(1)<<bits.Len(uint(b.slots-1)) - 1
	if i = h & mask; i >= uint64(b.slots) {
		i = h & (mask >> 1)
	}
	return i, 1 << (h >> 61)
}

// first returns the newest node of a value; the others follow by next.
func (b *byValue) first(sum uint64) *node {
	if b.values == 0 {
		return nil // as in most tables' shape for the whole of them
	}
	i, bit := b.place(sum)
	at, mark := b.slot(i)
	if *mark&bit == 0 {
		return nil
	}
	return *to(at, sum)
}

// to follows a slot's chain to the pointer that leads to the head of a value,
// or is nil if there is none.
func to(at **node, sum uint64) **node {
	for *at != nil && (*at).dep.sum != sum {
		at = &(*at).prev
	}
	return at
}

func (b *byValue) insert(n *node) {
	b.nodes++
	i, bit := b.place(n.dep.sum)
	slot, mark := b.slot(i)
	if *mark&bit != 0 {
		at := to(slot, n.dep.sum)
		if head := *at; head != nil {
			*at, n.next = n, head
			n.prev, head.prev = head.prev, n
			return
		}
	}
	n.next, n.prev = nil, *slot
	*slot = n
	*mark |= bit
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
		i, _ := b.place(n.dep.sum)
		slot, _ := b.slot(i)
		*to(slot, n.dep.sum) = next
		next.prev = prev
	default:
		i, _ := b.place(n.dep.sum)
		slot, _ := b.slot(i)
		*to(slot, n.dep.sum) = prev
		b.rehang(i) // for its mark
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
			for _, head := range segment.heads {
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
	last := &b.segments[len(b.segments)-1]
	end := len(last.heads) - 1
	heads := last.heads[end]
	last.heads[end] = nil
	last.heads, last.marks = last.heads[:end], last.marks[:end]
	if end == 0 {
		*last = segment{}
		b.segments = b.segments[:len(b.segments)-1]
	}
	b.slots--
	b.hang(heads)
}

// partner is the slot that shares its values with the last one.
func (b *byValue) partner() uint64 {
	last := uint64(b.slots - 1)
	return last &^ (1 << (bits.Len64(last) - 1))
}

// rehang gives the heads of a slot their places anew.
func (b *byValue) rehang(i uint64) {
	slot, mark := b.slot(i)
	heads := *slot
	*slot, *mark = nil, 0
	b.hang(heads)
}

// hang gives the heads of a chain their places.
func (b *byValue) hang(heads *node) {
	for heads != nil {
		n := heads
		heads = n.prev
		i, bit := b.place(n.dep.sum)
		slot, mark := b.slot(i)
		n.prev = *slot
		*slot = n
		*mark |= bit
	}
}

func (b *byValue) addSlot() {
	last := len(b.segments) - 1
	switch {
	case b.slots == 0:
		b.segments = append(b.segments, newSegment(minSlots))
		last = 0
	case b.slots%segmentSlots == 0:
		b.segments = append(b.segments, newSegment(segmentSlots))
		last++
	case len(b.segments[last].heads) == cap(b.segments[last].heads): // only the first ever is
		s := newSegment(2 * b.slots)
		b.segments[last] = segment{append(s.heads, b.segments[last].heads...), append(s.marks, b.segments[last].marks...)}
	}
	s := &b.segments[last]
	s.heads, s.marks = append(s.heads, nil), append(s.marks, 0)
	b.slots++
}

func newSegment(slots int) segment {
	return segment{make([]*node, 0, slots), make([]uint8, 0, slots)}
}
