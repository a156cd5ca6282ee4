package coherence

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// check looks at every link of the table.
func (b *byValue) check(t interface{ Fatalf(string, ...any) }) {
	slots, values, nodes := 0, 0, 0
	for s, segment := range b.segments {
		if n := len(segment.heads); n == 0 || n != segmentSlots && s != len(b.segments)-1 || n != len(segment.marks) {
			t.Fatalf("segment %d of %d has %d slots and %d marks", s, len(b.segments), n, len(segment.marks))
		}
		for i, head := range segment.heads {
			var mark uint8
			for ; head != nil; head = head.prev {
				values++
				at, bit := b.place(head.dep.sum)
				mark |= bit
				if at != uint64(s*segmentSlots+i) {
					t.Fatalf("value %x is in slot %d, its place is %d", head.dep.sum, s*segmentSlots+i, at)
				}
				if b.first(head.dep.sum) != head {
					t.Fatalf("value %x has two heads", head.dep.sum)
				}
				if head.prev != nil && head.prev.next == head {
					t.Fatalf("the head of %x is in the list of %x", head.dep.sum, head.prev.dep.sum)
				}
				nodes++
				for n := head; n.next != nil; n = n.next {
					nodes++
					if n.next.prev != n || n.next.dep.sum != head.dep.sum {
						t.Fatalf("the list of %x is broken", head.dep.sum)
					}
				}
			}
			if segment.marks[i] != mark {
				t.Fatalf("the mark of slot %d is %b, want %b", s*segmentSlots+i, segment.marks[i], mark)
			}
		}
		slots += len(segment.heads)
	}
	if slots != b.slots || values != b.values || nodes != b.nodes {
		t.Fatalf("%d slots, %d values, %d nodes; counted are %d, %d, %d", b.slots, b.values, b.nodes, slots, values, nodes)
	}
	if b.slots < minSlots || b.slots > minSlots && b.values < b.slots/2 || b.values > b.slots {
		t.Fatalf("%d values in %d slots", b.values, b.slots)
	}
}

// naive is what byValue is compared with.
type naive map[uint64]map[*node]bool

func (m naive) insert(n *node) {
	if m[n.dep.sum] == nil {
		m[n.dep.sum] = make(map[*node]bool)
	}
	m[n.dep.sum][n] = true
}

func (m naive) remove(n *node) {
	if delete(m[n.dep.sum], n); len(m[n.dep.sum]) == 0 {
		delete(m, n.dep.sum)
	}
}

func (m naive) compare(t interface{ Fatalf(string, ...any) }, b *byValue) {
	b.check(t)
	for absent := range uint64(8) {
		if sum := mix(absent); m[sum] == nil && b.first(sum) != nil {
			t.Fatalf("a node of %x, which has none", sum)
		}
	}
	left := 0
	for sum, want := range m {
		left += len(want)
		found := 0
		for n := b.first(sum); n != nil; n = n.next {
			if found++; !want[n] {
				t.Fatalf("a node of %x that isn't there", sum)
			}
		}
		if found != len(want) {
			t.Fatalf("%d nodes of %x, want %d", found, sum, len(want))
		}
	}
	for n := range b.all() {
		if left--; !m[n.dep.sum][n] {
			t.Fatalf("all has a node of %x that isn't there", n.dep.sum)
		}
	}
	if left != 0 {
		t.Fatalf("all leaves %d nodes out", left)
	}
}

// Whatever order nodes come and go in, the table holds just those that are
// there. Few values make long lists, many make the table grow and shrink.
func TestValuesAreFoundInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, m := newByValue(), make(naive)
		b.seed = rapid.Uint64().Draw(t, "seed")
		var in []*node
		most := rapid.SampledFrom([]uint64{1, 3, 40, 1 << 40}).Draw(t, "values")
		t.Repeat(map[string]func(*rapid.T){
			"insert": func(t *rapid.T) {
				for range rapid.SampledFrom([]int{1, 2, 30}).Draw(t, "nodes") {
					n := &node{dep: Dependency{sum: rapid.Uint64Range(1, most).Draw(t, "value")}}
					b.insert(n)
					m.insert(n)
					in = append(in, n)
				}
			},
			"remove": func(t *rapid.T) {
				for range min(len(in), rapid.SampledFrom([]int{1, 2, 40}).Draw(t, "nodes")) {
					i := rapid.IntRange(0, len(in)-1).Draw(t, "node")
					n := in[i]
					b.remove(n)
					m.remove(n)
					if n.next != nil || n.prev != nil {
						t.Fatalf("what is removed still points into the table")
					}
					in[i] = in[len(in)-1]
					in = in[:len(in)-1]
				}
			},
			"": func(t *rapid.T) { m.compare(t, &b) },
		})
	})
}

// Over several segments: all in, then out in another order.
func TestTableOfValuesGrowsAndShrinksByTheSlot(t *testing.T) {
	b, m := newByValue(), make(naive)
	const n = 5 * segmentSlots
	nodes := make([]node, n)
	for i := range nodes {
		nodes[i].dep.sum = mix(uint64(i / 2)) // two of each
		b.insert(&nodes[i])
		m.insert(&nodes[i])
	}
	m.compare(t, &b)
	if b.slots != n/2 || len(b.segments) != 3 {
		t.Fatalf("%d slots in %d segments for %d values", b.slots, len(b.segments), n/2)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for done, i := range random.Perm(n) {
		b.remove(&nodes[i])
		m.remove(&nodes[i])
		if done%100 == 0 {
			m.compare(t, &b)
		}
	}
	m.compare(t, &b)
	if b.slots != minSlots || b.values != 0 {
		t.Fatalf("%d slots for %d values", b.slots, b.values)
	}
}

// A table takes about a pointer and a byte for each value, at every size.
func TestTableOfValuesTakesAPointerAndAByteEach(t *testing.T) {
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for _, n := range []int{40_000, 66_000} {
		nodes := make([]node, n)
		before := heap()
		b := newByValue()
		for i := range nodes {
			nodes[i].dep.sum = mix(uint64(i))
			b.insert(&nodes[i])
		}
		got := float64(int64(heap()-before)) / float64(n)
		t.Logf("%d values: %.1f bytes each", n, got)
		if got > 10 && !raceEnabled {
			t.Errorf("%d values: %.1f bytes each, want at most 10", n, got)
		}
		if slices.Collect(b.all())[0] == nil {
			t.Fatal("empty")
		}
		runtime.KeepAlive(nodes)
	}
}
