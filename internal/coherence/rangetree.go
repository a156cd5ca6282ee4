package coherence

import (
	"cmp"
	"iter"
	"slices"
	"sort"
)

// ranges are the nodes of one tag whose first ranges bound one column: a
// B-tree ordered by the ranges' lower ends, of which each branch knows the
// highest upper end below it (an interval tree as in Cormen et al., section
// 14.3 of the third edition, with pages in place of single nodes).
//
// Which ranges hold a value is found on one way from the root to a leaf, and
// on one for each range that does: of the branches whose ranges all begin at or
// before the value, the ones whose highest end lies before it have none, and
// the others have one for sure.
//
// INVARIANT: items and branches are in the order of interval.compare, and no
// two ranges are equal: equal ones share an item, which leads to the first of
// their nodes, the others follow by next. Of the first, prev is nil.
// INVARIANT: low is the first range below a branch, high one with the highest
// upper end.
// INVARIANT: all leaves are equally deep; no page but the root is empty.
type ranges struct{ root page }

// page is a leaf, which has items, or leads to more pages.
type page struct {
	items []item
	inner *inner
}

// Sizes of pages. One that falls below a quarter is put together with a
// neighbour, if both fill no more than three: so the next insert doesn't split
// it again.
const (
	pageItems    = 32
	pageBranches = 64
)

// item is a range and its nodes.
type item struct {
	from, to uint64 // its prefixes
	head     *node
}

// inner is what an inner page has: side by side what is compared most.
type inner struct {
	count    int
	from, to [pageBranches]uint64 // prefixes of low and high
	branches [pageBranches]branch
}

type branch struct {
	low, high *bounded
	page      page
}

func (n *node) bounded() *bounded { return &n.dep.more.ranges[0] }

func (it *item) interval() interval {
	return interval{it.from, it.to, it.head.bounded()}
}

func (in *inner) low(i int) interval { return interval{from: in.from[i], bounded: in.branches[i].low} }

func (in *inner) high(i int) interval { return interval{to: in.to[i], bounded: in.branches[i].high} }

// holding appends the nodes whose range holds the value with this form.
func (p *page) holding(found []*node, value uint64, form []byte) []*node {
	if p.inner == nil {
		for i := range p.items {
			it := &p.items[i]
			if it.from > value {
				break
			}
			if it.to >= value && it.head.bounded().holds(form) {
				for n := it.head; n != nil; n = n.next {
					found = append(found, n)
				}
			}
		}
		return found
	}
	in := p.inner
	for i := range in.count {
		if in.from[i] > value || in.from[i] == value && in.branches[i].low.from() > string(form) {
			break
		}
		if in.to[i] < value || in.to[i] == value && in.branches[i].high.endsBefore(form) {
			continue
		}
		found = in.branches[i].page.holding(found, value, form)
	}
	return found
}

// endsBefore tells whether a value with this form lies behind the range.
func (b *bounded) endsBefore(form []byte) bool {
	return b.open&openAbove == 0 && b.to() < string(form)
}

// all iterates over the nodes. REQUIRES: no insert or remove meanwhile.
func (p *page) all() iter.Seq[*node] {
	return func(yield func(*node) bool) { p.each(yield) }
}

func (p *page) each(yield func(*node) bool) bool {
	for i := range p.items {
		for n := p.items[i].head; n != nil; n = n.next {
			if !yield(n) {
				return false
			}
		}
	}
	if p.inner != nil {
		for i := range p.inner.count {
			if !p.inner.branches[i].page.each(yield) {
				return false
			}
		}
	}
	return true
}

func (r *ranges) insert(n *node) {
	key := n.bounded().interval()
	right, split := r.root.insert(&key, n)
	if split {
		in := &inner{}
		in.put(0, r.root)
		in.put(1, right)
		r.root = page{inner: in}
	}
}

// insert puts n into the page or below it. A page that had no room is split;
// right is what follows it now.
func (p *page) insert(key *interval, n *node) (right page, split bool) {
	if p.inner != nil {
		return p.inner.insert(key, n)
	}
	at, found := p.find(key)
	if found {
		it := &p.items[at]
		n.next, n.prev = it.head, nil
		it.head.prev = n
		it.head = n
		return page{}, false
	}
	n.next, n.prev = nil, nil
	into := p
	if len(p.items) == pageItems {
		const half = pageItems / 2
		right.items = append(make([]item, 0, pageItems), p.items[half:]...)
		clear(p.items[half:])
		p.items, split = p.items[:half], true
		if at > half {
			into, at = &right, at-half
		}
	}
	into.items = slices.Insert(into.items, at, item{key.from, key.to, n})
	return right, split
}

// find finds the place of a range among a leaf's items.
func (p *page) find(key *interval) (at int, found bool) {
	return sort.Find(len(p.items), func(i int) int {
		it := &p.items[i]
		if key.from != it.from { // without a look at the range
			return cmp.Compare(key.from, it.from)
		}
		other := it.interval()
		return key.compare(&other)
	})
}

// toward is the branch that a range is below, or belongs below.
func (in *inner) toward(key *interval) int {
	at := sort.Search(in.count, func(i int) bool {
		if in.from[i] != key.from {
			return in.from[i] > key.from
		}
		low := in.branches[i].low.interval()
		return low.compare(key) > 0
	})
	return max(at-1, 0)
}

func (in *inner) insert(key *interval, n *node) (right page, split bool) {
	at := in.toward(key)
	b := &in.branches[at]
	next, grows := b.page.insert(key, n)
	if !grows {
		in.cover(at, key)
		return page{}, false
	}
	in.measure(at)
	if in.count < pageBranches {
		in.put(at+1, next)
		return page{}, false
	}
	const half = pageBranches / 2
	other := &inner{count: half}
	copy(other.from[:], in.from[half:])
	copy(other.to[:], in.to[half:])
	copy(other.branches[:], in.branches[half:])
	clear(in.branches[half:])
	in.count = half
	if at+1 > half {
		other.put(at+1-half, next)
	} else {
		in.put(at+1, next)
	}
	return page{inner: other}, true
}

// put inserts a page as branch at. REQUIRES: there is room.
func (in *inner) put(at int, p page) {
	copy(in.from[at+1:], in.from[at:in.count])
	copy(in.to[at+1:], in.to[at:in.count])
	copy(in.branches[at+1:], in.branches[at:in.count])
	in.count++
	in.branches[at] = branch{page: p}
	in.measure(at)
}

// drop takes branch at away.
func (in *inner) drop(at int) {
	copy(in.from[at:], in.from[at+1:in.count])
	copy(in.to[at:], in.to[at+1:in.count])
	copy(in.branches[at:], in.branches[at+1:in.count])
	in.count--
	in.branches[in.count] = branch{}
}

// cover lets a branch's bounds include a range that has come below it.
func (in *inner) cover(at int, key *interval) {
	b := &in.branches[at]
	if key.from <= in.from[at] {
		if low := b.low.interval(); key.compare(&low) < 0 {
			in.from[at], b.low = key.from, key.bounded
		}
	}
	if high := in.high(at); key.compareTo(&high) > 0 {
		in.to[at], b.high = key.to, key.bounded
	}
}

// measure finds a branch's bounds anew. REQUIRES: its page is not empty.
func (in *inner) measure(at int) {
	b := &in.branches[at]
	var low, high interval
	if down := b.page.inner; down != nil {
		low, high = down.low(0), down.high(0)
		for i := 1; i < down.count && high.open&openAbove == 0; i++ {
			if other := down.high(i); other.compareTo(&high) > 0 {
				high = other
			}
		}
	} else {
		low, high = b.page.items[0].interval(), b.page.items[0].interval()
		for i := 1; i < len(b.page.items) && high.open&openAbove == 0; i++ {
			if other := b.page.items[i].interval(); other.compareTo(&high) > 0 {
				high = other
			}
		}
	}
	in.from[at], in.to[at], b.low, b.high = low.from, high.to, low.bounded, high.bounded
}

func (r *ranges) remove(n *node) {
	next, prev := n.next, n.prev
	n.next, n.prev = nil, nil
	if prev != nil {
		prev.next = next
		if next != nil {
			next.prev = prev
		}
		return
	}
	if next != nil {
		next.prev = nil
	}
	key := n.bounded().interval()
	r.root.remove(&key, next)
	for in := r.root.inner; in != nil && in.count == 1; in = r.root.inner {
		r.root = in.branches[0].page
	}
}

// remove puts next into the place of the first node of a range; where there is
// none, it takes the item away.
func (p *page) remove(key *interval, next *node) {
	in := p.inner
	if in == nil {
		at, _ := p.find(key)
		if next != nil {
			p.items[at].head = next
			return
		}
		p.items = slices.Delete(p.items, at, at+1)
		return
	}
	at := in.toward(key)
	b := &in.branches[at]
	b.page.remove(key, next)
	size := b.page.size()
	if size == 0 {
		in.drop(at)
		return
	}
	high := in.high(at)
	if next == nil && (in.from[at] == key.from || key.compareTo(&high) == 0) {
		in.measure(at)
	}
	if size < b.page.room()/4 {
		in.merge(at)
	}
}

func (p *page) size() int {
	if p.inner != nil {
		return p.inner.count
	}
	return len(p.items)
}

// room is how much the page takes.
func (p *page) room() int {
	if p.inner != nil {
		return pageBranches
	}
	return pageItems
}

// merge puts branch at together with a neighbour, if both leave room in one page.
func (in *inner) merge(at int) {
	for _, left := range [2]int{at - 1, at} {
		if left < 0 || left+1 >= in.count {
			continue
		}
		a, b := &in.branches[left].page, &in.branches[left+1].page
		if a.size()+b.size() > a.room()*3/4 {
			continue
		}
		if a.inner != nil {
			for i := range b.inner.count {
				a.inner.put(a.inner.count, b.inner.branches[i].page)
			}
		} else {
			a.items = append(a.items, b.items...)
		}
		in.drop(left + 1)
		in.measure(left)
		return
	}
}
