package coherence

import (
	"cmp"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// Template is a declared dependency before a request gives it values: a
// table, the columns compared for equality, those bounded by a range, and the
// columns whose changes count.
type Template struct {
	Table  TableID
	Equal  []Equal
	Ranges []int     // indexes of watched columns
	Counts ColumnSet // columns whose changes count; 0: all
}

// Equal is one equality condition of a Template.
type Equal struct {
	Column int // index of a watched column
	Fold   Fold
}

// Operand is what a request gives for one condition: any of Values. Absent
// means no condition; so does a value that has no exact rule.
type Operand struct {
	Present bool
	Values  []string
}

// Bounds is what a request gives for one range, both ends inclusive.
type Bounds struct{ From, To Operand }

// Dependency is a Template with the values of one request, ready to be
// indexed. It is immutable.
type Dependency struct {
	shape *shape
	sum   uint64 // of the equality values, by shape.columns
	more  *more  // nil: there is none
}

// more is what a dependency on one column, by far the commonest, does without.
// Apart, it keeps the nodes of the index small: there is one for every
// dependency of every cached response.
type more struct {
	sums   []uint64  // one for each of shape.columns where there are several
	ranges []bounded // the first is the one that the index goes by
}

// Bounds on how far a repeated parameter multiplies. Beyond them a condition
// is dropped, which over-matches.
const (
	maxAlternatives = 16
	maxDependencies = 64
)

// Bind gives t the values of one request: equal has one operand for each of
// t.Equal, ranges one for each of t.Ranges. The result is never empty.
func (g *Guard) Bind(t *Template, equal []Operand, ranges []Bounds) []Dependency {
	table := &g.Tables()[t.Table]
	type condition struct {
		Equal
		sums []uint64
	}
	var conds []condition
	var buf [64]byte
	product := 1
	for i, op := range equal {
		if !op.Present || len(op.Values) == 0 || len(op.Values) > maxAlternatives {
			continue
		}
		c := condition{Equal: t.Equal[i]}
		column := &table.Columns[c.Column]
		for _, v := range op.Values {
			form, ok := operandForm(column, c.Fold, v, buf[:0])
			if !ok {
				c.sums = nil
				break
			}
			if sum := xxhash.Sum64(form); !slices.Contains(c.sums, sum) {
				c.sums = append(c.sums, sum)
			}
		}
		if c.sums == nil || product*len(c.sums) > maxDependencies {
			continue
		}
		product *= len(c.sums)
		conds = append(conds, c)
	}
	slices.SortFunc(conds, func(a, b condition) int {
		return cmp.Or(cmp.Compare(a.Column, b.Column), cmp.Compare(a.Fold, b.Fold))
	})

	var bounds []bounded
	for i, r := range ranges {
		if b, ok := bind(table, t.Ranges[i], r); ok {
			bounds = append(bounds, b)
		}
	}

	mostSelective(bounds)
	columns := make([]Equal, len(conds))
	for i := range conds {
		columns[i] = conds[i].Equal
	}
	s := g.shape(t.Table, columns, t.Counts)
	deps := make([]Dependency, 0, product)
	var ranged *more
	if len(bounds) > 0 && len(conds) < 2 {
		ranged = &more{ranges: bounds}
	}
	pick := make([]uint64, len(conds))
	for n := range product {
		for i := range conds {
			pick[i] = conds[i].sums[n%len(conds[i].sums)]
			n /= len(conds[i].sums)
		}
		d := Dependency{shape: s, sum: combine(pick), more: ranged}
		if len(pick) > 1 {
			d.more = &more{sums: slices.Clone(pick), ranges: bounds}
		}
		deps = append(deps, d)
	}
	return deps
}

// Group is the dependency on a named group, which only logical messages
// touch (RFC 9875).
func (g *Guard) Group(name string) Dependency {
	return Dependency{shape: g.groups, sum: xxhash.Sum64String(name)}
}

// operandForm is the canonical form of a request's value. Under a fold the
// value is compared as it is: it is the column that is folded.
func operandForm(column *Column, fold Fold, value string, dst []byte) ([]byte, bool) {
	if fold != NoFold {
		return foldOperand(column.Kind, value, dst)
	}
	if column.Kind == Enum && !slices.Contains(column.Labels, value) {
		return dst, false
	}
	return column.Kind.canonical(dst, []byte(value))
}

func foldOperand(kind Kind, value string, dst []byte) ([]byte, bool) {
	switch kind {
	case Text, ByteText, Enum:
		return append(dst, value...), true
	case PaddedText, FoldedText:
		return kind.canonical(dst, []byte(value))
	}
	return dst, false
}

// combine folds the hashes of a shape's columns into one. The single column,
// by far the commonest, is its own sum.
func combine(sums []uint64) uint64 {
	if len(sums) == 1 {
		return sums[0]
	}
	h := uint64(len(sums))
	for _, s := range sums {
		h = mix(h ^ s)
	}
	return h
}

// mix is the finaliser of splitmix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
