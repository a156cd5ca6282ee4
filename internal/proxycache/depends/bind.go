package depends

import (
	"slices"

	"walpurge/internal/coherence"
	"walpurge/internal/expr"
)

// Dependency is a table that a response is computed from, with where the
// values of its conditions come from.
type Dependency struct {
	Template coherence.Template
	Equal    [][]expr.Expr // for each of Template.Equal: equality with any of these
	Ranges   []Range       // for each of Template.Ranges
	Words    string        // the declaration, for people
}

// Range is an inclusive range; a nil end is open.
type Range struct{ From, To *expr.Expr }

// Set is the dependencies of a route's responses, as far as it declares them.
type Set []Dependency

// Late tells whether some are known only with the whole response.
func (all Set) Late() bool {
	return slices.ContainsFunc(all, func(d Dependency) bool { return d.late() })
}

// Bind gives the dependencies the values of a request. Those that read the
// response's body come later, by BindLate.
func (all Set) Bind(g *coherence.Guard, s *Subject) []coherence.Dependency {
	var deps []coherence.Dependency
	for i := range all {
		d := &all[i]
		if d.late() {
			continue
		}
		equal, ranges := d.operands(g, s)
		deps = append(deps, g.Bind(&d.Template, equal, ranges)...)
	}
	return deps
}

// BindLate gives the dependencies that read the body their values. One whose
// values are known to be none depends on no row at all.
func (all Set) BindLate(g *coherence.Guard, s *Subject) []coherence.Dependency {
	var deps []coherence.Dependency
	for i := range all {
		d := &all[i]
		if !d.late() {
			continue
		}
		equal, ranges := d.operands(g, s)
		if d.nothing(equal, s) {
			continue
		}
		deps = append(deps, bindMany(g, &d.Template, equal, ranges)...)
	}
	return deps
}

// late tells whether the dependency is known only with the whole response.
func (d *Dependency) late() bool {
	fromBody := func(e *expr.Expr) bool { return e != nil && e.Source == expr.Body }
	for _, any := range d.Equal {
		for i := range any {
			if fromBody(&any[i]) {
				return true
			}
		}
	}
	return slices.ContainsFunc(d.Ranges, func(r Range) bool { return fromBody(r.From) || fromBody(r.To) })
}

// operands evaluates the conditions' values.
func (d *Dependency) operands(g *coherence.Guard, s *Subject) ([]coherence.Operand, []coherence.Bounds) {
	columns := g.Tables()[d.Template.Table].Columns
	equal := make([]coherence.Operand, len(d.Equal))
	for j := range d.Equal {
		equal[j] = s.Operand(d.Equal[j], &columns[d.Template.Equal[j].Column])
	}
	ranges := make([]coherence.Bounds, len(d.Ranges))
	for j, r := range d.Ranges {
		column := &columns[d.Template.Ranges[j]]
		ranges[j] = coherence.Bounds{From: s.end(r.From, column), To: s.end(r.To, column)}
	}
	return equal, ranges
}

func (s *Subject) end(e *expr.Expr, column *coherence.Column) coherence.Operand {
	if e == nil {
		return coherence.Operand{}
	}
	return s.Operand([]expr.Expr{*e}, column)
}

// nothing tells whether an equality with values of the body alone has none.
func (d *Dependency) nothing(equal []coherence.Operand, s *Subject) bool {
	for i, any := range d.Equal {
		doubtful := slices.ContainsFunc(any, func(e expr.Expr) bool {
			if e.Source != expr.Body {
				return true
			}
			_, ok := s.values(&e, nil)
			return !ok
		})
		if !equal[i].Present && !doubtful {
			return true
		}
	}
	return false
}

// bindBatch is how many values of one condition are bound at once; the guard
// takes no more (coherence.Guard.Bind).
const bindBatch = 16

// bindMany binds a template of which one operand may have many values.
func bindMany(g *coherence.Guard, t *coherence.Template, equal []coherence.Operand, ranges []coherence.Bounds) []coherence.Dependency {
	most := -1
	for i, op := range equal {
		if len(op.Values) > bindBatch && (most < 0 || len(op.Values) > len(equal[most].Values)) {
			most = i
		}
	}
	if most < 0 {
		return g.Bind(t, equal, ranges)
	}
	all := slices.Clone(equal[most].Values)
	slices.Sort(all)
	var deps []coherence.Dependency
	part := slices.Clone(equal)
	for values := range slices.Chunk(slices.Compact(all), bindBatch) {
		part[most].Values = values
		deps = append(deps, g.Bind(t, part, ranges)...)
	}
	return deps
}
