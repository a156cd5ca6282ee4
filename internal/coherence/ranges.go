package coherence

import (
	"iter"
	"slices"
)

// byRange finds the nodes of a shape that have ranges: for each tag and column
// it has a tree of the ranges. A node with several is found by its first range;
// the others are looked at once it is found.
type byRange struct {
	trees  map[rangeTag]*ranges
	bounds []rangedColumn // those that some tree is of, or was
}

// rangeTag is what a tree is of: the hash of the equality values, and the
// column that the ranges bound.
type rangeTag struct {
	sum    uint64
	column uint16
}

// rangedColumn counts the trees of a column, so that a row isn't looked for in
// those that nobody uses.
type rangedColumn struct {
	column uint16
	trees  int
}

// insert puts a node into the index.
func (s *shape) insert(n *node) {
	if n.dep.more == nil || len(n.dep.more.ranges) == 0 {
		s.byValue.insert(n)
		return
	}
	tag := n.rangeTag()
	tree := s.trees[tag]
	if tree == nil {
		if s.trees == nil {
			s.trees = make(map[rangeTag]*ranges)
		}
		tree = &ranges{}
		s.trees[tag] = tree
		s.count(tag.column, 1)
	}
	tree.insert(n)
}

// remove takes a node out of the index.
func (s *shape) remove(n *node) {
	if n.dep.more == nil || len(n.dep.more.ranges) == 0 {
		s.byValue.remove(n)
		return
	}
	tag := n.rangeTag()
	tree := s.trees[tag]
	tree.remove(n)
	if len(tree.root.items) == 0 && tree.root.inner == nil {
		delete(s.trees, tag)
		s.count(tag.column, -1)
	}
}

func (n *node) rangeTag() rangeTag {
	return rangeTag{n.dep.sum, n.dep.more.ranges[0].column}
}

func (b *byRange) count(column uint16, by int) {
	i := slices.IndexFunc(b.bounds, func(c rangedColumn) bool { return c.column == column })
	if i < 0 {
		i = len(b.bounds)
		b.bounds = append(b.bounds, rangedColumn{column: column})
	}
	b.bounds[i].trees += by
}

// all iterates over the nodes. REQUIRES: no insert or remove meanwhile.
func (s *shape) all() iter.Seq[*node] {
	return func(yield func(*node) bool) {
		for n := range s.byValue.all() {
			if !yield(n) {
				return
			}
		}
		for _, tree := range s.trees {
			for n := range tree.root.all() {
				if !yield(n) {
					return
				}
			}
		}
	}
}

// ranged appends the nodes of a tag whose first range holds the row's value, or
// may.
func (r *row) ranged(s *shape, sum uint64, found []*node) []*node {
	for _, c := range s.bounds {
		if c.trees == 0 || r.values[c.column].State == Null { // NULL lies in no range
			continue
		}
		tree := s.trees[rangeTag{sum, c.column}]
		if tree == nil {
			continue
		}
		if r.values[c.column].State == Known {
			if f := r.form(int(c.column), NoFold); f.exact {
				found = tree.root.holding(found, prefix(r.table.Columns[c.column].Kind, f.bytes), f.bytes)
				continue
			}
		}
		for n := range tree.root.all() {
			found = append(found, n)
		}
	}
	return found
}
