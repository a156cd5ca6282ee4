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
	Depends []Source[A]    // all that the result is computed from
	Load    func(context.Context, A) (R, error)
}

// Source is a table that a query reads, narrowed by conditions that every row
// it looks at satisfies.
type Source[A any] struct {
	Table   string   // qualified: public.listings
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
	for _, s := range q.Depends {
		t := Table{Name: s.Table, Columns: slices.Clone(s.Columns)}
		for _, w := range s.Where {
			t.Compare = append(t.Compare, w.Column)
		}
		for _, b := range s.Between {
			t.Compare = append(t.Compare, b.Column)
		}
		t.Columns = append(t.Columns, t.Compare...)
		all = append(all, t)
	}
	return all
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

// bind gives the source the values of one argument.
func (s *Source[A]) bind(g *coherence.Guard, t *coherence.Template, arg A) []coherence.Dependency {
	equal := make([]coherence.Operand, len(s.Where))
	for i := range s.Where {
		equal[i] = s.Where[i].Is(arg)
	}
	bounds := make([]coherence.Bounds, len(s.Between))
	for i := range s.Between {
		bounds[i] = s.Between[i].Bounds(arg)
	}
	return g.Bind(t, equal, bounds)
}
