package coherence

import (
	"github.com/cespare/xxhash/v2"
)

// A shape is a set of condition columns in use on one table, with the columns
// whose changes count. It holds the responses that depend on the table in
// this way, by the hash of their values.
//
// Guarded by Guard.mu, save for what never changes.
type shape struct {
	id      uint64 // distinguishes the shape's tags in the fence table
	columns []Equal
	counts  ColumnSet // 0: all; else includes every condition column of the template

	byValue // its nodes without a range
	byRange // the others

	floor LSN  // INVARIANT: touches at or before floor were not fenced for this shape
	fence LSN  // the last commit that touched the shape as a whole
	lost  bool // the table's changes can't be followed
}

// shapeKey finds a shape by its definition.
type shapeKey struct {
	table   TableID
	counts  ColumnSet
	columns string // two bytes each: column, fold
}

// maxShapes bounds the shapes of one table, for what origins may declare in
// their responses. Beyond it dependencies are on the table as a whole.
const maxShapes = 256

// node is one dependency of one handle in its shape.
type node struct {
	next, prev *node // as byValue or byRange has them
	handle     *Handle
	dep        Dependency
}

// shape finds or makes the shape of a dependency. A new one starts with the
// applied position as its floor: earlier commits were not fenced for it.
func (g *Guard) shape(table TableID, columns []Equal, counts ColumnSet) *shape {
	key := shapeKey{table: table, counts: counts}
	var buf [32]byte
	spelled := buf[:0]
	for _, c := range columns {
		spelled = append(spelled, byte(c.Column), byte(c.Column>>8)<<2|byte(c.Fold))
	}
	key.columns = string(spelled)
	g.mu.Lock()
	defer g.mu.Unlock()
	if s := g.byKey[key]; s != nil {
		return s
	}
	if len(g.shapes[table]) >= maxShapes {
		// The first shape of every table is the whole table, any column.
		return g.shapes[table][0]
	}
	s := &shape{
		id: g.nextShape, columns: columns, counts: counts,
		byValue: newByValue(), floor: g.applied, lost: g.lost[table],
	}
	g.nextShape++
	g.byKey[key] = s
	g.shapes[table] = append(g.shapes[table], s)
	return s
}

// row is one version of a changed row with what has been computed of it, so
// that a value that several shapes look at is parsed once. It is reused.
type row struct {
	table  *Table
	exists bool
	values []Value
	forms  []form // three for each column, one for each fold
	stamp  uint64 // forms with another stamp are of an earlier row
	arena  []byte // of forms
}

// form is a value in canonical form; exact says that there is a rule for it.
type form struct {
	bytes []byte
	sum   uint64
	stamp uint64
	exact bool
}

// verdict of a condition or a tag on a row.
type verdict uint8

const (
	no verdict = iota
	yes
	maybe // undecidable: counts as yes (G5)
)

// reset makes r the version of tx that starts at field at; 0 is none.
func (r *row) reset(table *Table, tx *Transaction, at uint32) {
	r.table, r.exists = table, at != 0
	r.stamp++
	r.arena = r.arena[:0]
	if !r.exists {
		return
	}
	r.values = tx.version(at, len(table.Columns), r.values[:0])
	if n := len(table.Columns) * 3; len(r.forms) < n {
		r.forms = make([]form, n)
	}
}

// form computes the canonical form of a column under a fold. REQUIRES: the
// value is Known.
func (r *row) form(column int, fold Fold) *form {
	f := &r.forms[column*3+int(fold)]
	if f.stamp == r.stamp {
		return f
	}
	f.stamp = r.stamp
	kind, text := r.table.Columns[column].Kind, r.values[column].Text
	if fold == NoFold && (kind == Text || kind == ByteText || kind == Enum) {
		f.bytes, f.exact = text, true
		f.sum = xxhash.Sum64(text)
		return f
	}
	start := len(r.arena)
	switch {
	case fold == NoFold:
		r.arena, f.exact = kind.canonical(r.arena, text)
	case kind == Text || kind == ByteText || kind == Enum || kind == PaddedText || kind == FoldedText:
		r.arena, f.exact = foldASCII(r.arena, text, fold)
		if f.exact && (kind == PaddedText || kind == FoldedText) {
			var again []byte
			again, f.exact = kind.canonical(nil, r.arena[start:])
			r.arena = append(r.arena[:start], again...)
		}
	}
	f.bytes = r.arena[start:len(r.arena):len(r.arena)]
	f.sum = xxhash.Sum64(f.bytes)
	return f
}

// tag computes the sum of the row under s. With maybe, known holds the sums
// of the columns that are decided and ok says which those are.
func (r *row) tag(s *shape, known []uint64, ok []bool) (sum uint64, v verdict) {
	v = yes
	for i, c := range s.columns {
		ok[i] = false
		switch r.values[c.Column].State {
		case Null:
			return 0, no // NULL satisfies no equality
		case Unknown:
			v = maybe
		case Known:
			if f := r.form(c.Column, c.Fold); f.exact {
				known[i], ok[i] = f.sum, true
			} else {
				v = maybe
			}
		}
	}
	if v == maybe {
		return 0, maybe
	}
	return combine(known[:len(s.columns)]), yes
}

// inside tells whether the row satisfies the ranges of m.
func (r *row) inside(m *more) bool {
	if m == nil {
		return true
	}
	for i := range m.ranges {
		b := &m.ranges[i]
		switch r.values[b.column].State {
		case Null:
			return false
		case Unknown:
			continue
		}
		if f := r.form(int(b.column), NoFold); f.exact && !b.holds(f.bytes) {
			return false
		}
	}
	return true
}

// agrees tells whether a dependency of several columns fits what is known of
// the row.
func (d *Dependency) agrees(known []uint64, ok []bool) bool {
	if len(d.shape.columns) == 1 {
		return !ok[0] || known[0] == d.sum
	}
	if d.more == nil {
		return true // the whole table
	}
	for i, s := range d.more.sums {
		if ok[i] && known[i] != s {
			return false
		}
	}
	return true
}
