package querycache

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"walpurge/internal/coherence"
)

// Query is a named query with an argument of type A and a result of type R.
// The result goes through JSON, which has to keep all of it.
type Query[A, R any] struct {
	Name    string         // in keys and metrics
	Key     func(A) string // two arguments that load different results have different keys
	Depends []Source[A]    // all that the result is computed from, but for Shows
	Shows   []Rows[R]      // rows of which only the result tells that it shows them
	Load    func(context.Context, A) (R, error)
}

// Rows are those that a result shows of a table that its query joins by a column. Which
// ones they are has to follow from what the query depends on besides.
type Rows[R any] struct {
	Table   string
	Columns []string         // see Source
	By      string           // the column of the join
	Values  func(R) []string // its values in the rows that are shown, each once
}

// source is what each of the values is bound to.
func (r *Rows[R]) source() Source[string] {
	return Source[string]{Table: r.Table, Columns: r.Columns, Where: []Where[string]{{r.By, Is}}}
}

// Source is a table that a query reads, narrowed by conditions that every row
// it looks at satisfies.
type Source[A any] struct {
	Table   string   // as identifier.Table writes it: public.listings
	Columns []string // whose changes count, those of the conditions among them; none: all
	Where   []Where[A]
	Between []Between[A]
}

// Where is a condition of equality. An operand that isn't present is none.
type Where[A any] struct {
	Column string
	Is     func(A) coherence.Operand
}

// Between is a range with inclusive ends.
type Between[A any] struct {
	Column string
	Bounds func(A) coherence.Bounds
}

// Is is the operand that has one value.
func Is(value string) coherence.Operand {
	return coherence.Operand{Present: true, Values: []string{value}}
}

// Table is a table that queries depend on, with the columns that they mention.
type Table struct {
	Name    string
	Columns []string // in conditions or among those whose changes count
	Compare []string // in conditions
}

// Tables merges what queries depend on. It is what has to be watched.
func Tables(queries ...interface{ tables() []Table }) []Table {
	type sets struct{ columns, compare map[string]bool }
	byName := map[string]sets{}
	for _, q := range queries {
		for _, t := range q.tables() {
			s, ok := byName[t.Name]
			if !ok {
				s = sets{map[string]bool{}, map[string]bool{}}
				byName[t.Name] = s
			}
			for _, c := range t.Columns {
				s.columns[c] = true
			}
			for _, c := range t.Compare {
				s.compare[c] = true
			}
		}
	}
	var all []Table
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		all = append(all, Table{name, slices.Sorted(maps.Keys(byName[name].columns)), slices.Sorted(maps.Keys(byName[name].compare))})
	}
	return all
}

func (q Query[A, R]) tables() []Table {
	var all []Table
	for i := range q.Depends {
		all = append(all, q.Depends[i].watched())
	}
	for i := range q.Shows {
		s := q.Shows[i].source()
		all = append(all, s.watched())
	}
	return all
}

func (s *Source[A]) watched() Table {
	t := Table{Name: s.Table, Columns: slices.Clone(s.Columns)}
	for _, w := range s.Where {
		t.Compare = append(t.Compare, w.Column)
	}
	for _, b := range s.Between {
		t.Compare = append(t.Compare, b.Column)
	}
	t.Columns = append(t.Columns, t.Compare...)
	return t
}

// template is the source in the guard's terms.
func (s *Source[A]) template(g *coherence.Guard) (coherence.Template, error) {
	id, ok := g.Table(s.Table)
	if !ok {
		return coherence.Template{}, fmt.Errorf("table %s is not watched", s.Table)
	}
	table := &g.Tables()[id]
	t := coherence.Template{Table: id}
	column := func(name string) (int, error) {
		i := table.Column(name)
		if i < 0 {
			return 0, fmt.Errorf("column %s of %s is not watched", name, s.Table)
		}
		if len(s.Columns) > 0 {
			t.Counts = t.Counts.With(i)
		}
		return i, nil
	}
	for _, w := range s.Where {
		i, err := column(w.Column)
		if err != nil {
			return t, err
		}
		t.Equal = append(t.Equal, coherence.Equal{Column: i})
	}
	for _, b := range s.Between {
		i, err := column(b.Column)
		if err != nil {
			return t, err
		}
		t.Ranges = append(t.Ranges, i)
	}
	for _, name := range s.Columns {
		if _, err := column(name); err != nil {
			return t, err
		}
	}
	return t, nil
}

// bound is a source with its template.
type bound[A any] struct {
	Source[A]
	template coherence.Template
}

// prepare makes the guard fence for a source from now on.
func prepare[A any](g *coherence.Guard, s Source[A]) (bound[A], error) {
	t, err := s.template(g)
	if err != nil {
		return bound[A]{}, err
	}
	g.Use(&t)
	return bound[A]{s, t}, nil
}

// bind gives the source the values of one argument.
func (s *bound[A]) bind(g *coherence.Guard, arg A) []coherence.Dependency {
	equal := make([]coherence.Operand, len(s.Where))
	for i := range s.Where {
		equal[i] = s.Where[i].Is(arg)
	}
	bounds := make([]coherence.Bounds, len(s.Between))
	for i := range s.Between {
		bounds[i] = s.Between[i].Bounds(arg)
	}
	return g.Bind(&s.template, equal, bounds)
}
