package depends

import (
	"fmt"
	"strings"

	"walpurge/internal/coherence"
	"walpurge/internal/expr"
	"walpurge/internal/http1"
	"walpurge/internal/identifier"
)

// PurgedBy describes the changes that touch the dependency.
func (d *Dependency) PurgedBy(table *coherence.Table, s *Subject) string {
	var conds []string
	for i, any := range d.Equal {
		eq := d.Template.Equal[i]
		name := columnWords(table, eq)
		if fromBody := bodyWords(any); fromBody != "" {
			conds = append(conds, name+" = a value of "+fromBody)
		} else if op := s.Operand(any, &table.Columns[eq.Column]); op.Present {
			conds = append(conds, name+" = "+quoted(op.Values))
		}
	}
	for i, r := range d.Ranges {
		column := &table.Columns[d.Template.Ranges[i]]
		name := identifier.Quote(column.Name)
		if op := s.end(r.From, column); op.Present {
			conds = append(conds, name+" >= "+quoted(op.Values))
		}
		if op := s.end(r.To, column); op.Present {
			conds = append(conds, name+" <= "+quoted(op.Values))
		}
	}
	text := "a change of any row of " + table.Name
	if len(conds) > 0 {
		text = "a change of a row of " + table.Name + " that has or had " + strings.Join(conds, " and ")
	}
	if d.Template.Counts != 0 {
		var names []string
		for i := range table.Columns {
			if d.Template.Counts&(1<<i) != 0 {
				names = append(names, identifier.Quote(table.Columns[i].Name))
			}
		}
		text += ", if it changes " + strings.Join(names, ", ") + " or adds or removes the row"
	}
	return text
}

// Notes appends what is read in more ways than one: a value that is no
// condition for that reason, and one that is several.
func (d *Dependency) Notes(notes []string, table *coherence.Table, s *Subject) []string {
	note := func(e *expr.Expr, column *coherence.Column) {
		values, ok := s.values(e, column)
		switch {
		case e.Source == expr.Literal || e.Source == expr.Body:
		case !ok && s.says(e):
			notes = append(notes, fmt.Sprintf("%s is no condition on %s: services may read what this request says in different ways", e, identifier.Quote(column.Name)))
		case e.Source == expr.Path && len(values) > 1 && column.Textual():
			notes = append(notes, fmt.Sprintf("%s has a dot, where some services cut a format off: %s counts as %s", e, identifier.Quote(column.Name), quoted(values)))
		}
	}
	for i, any := range d.Equal {
		for j := range any {
			note(&any[j], &table.Columns[d.Template.Equal[i].Column])
		}
	}
	for i, r := range d.Ranges {
		for _, e := range []*expr.Expr{r.From, r.To} {
			if e != nil {
				note(e, &table.Columns[d.Template.Ranges[i]])
			}
		}
	}
	return notes
}

// says tells whether the request says something for the expression.
func (s *Subject) says(e *expr.Expr) bool {
	switch e.Source {
	case expr.Query:
		return s.mentions(e.Name)
	case expr.Header:
		return len(s.Request.Values(strings.ToLower(e.Name))) > 0
	case expr.Cookie:
		_, n := http1.FindCookie(s.Request, e.Name)
		return n > 0
	}
	return e.Source == expr.Path
}

// bodyWords names the places in the response that a condition reads.
func bodyWords(any []expr.Expr) string {
	var words []string
	for i := range any {
		if any[i].Source == expr.Body {
			words = append(words, any[i].String())
		}
	}
	return strings.Join(words, " or ")
}

func columnWords(table *coherence.Table, eq coherence.Equal) string {
	name := identifier.Quote(table.Columns[eq.Column].Name)
	if eq.Fold != coherence.NoFold {
		return eq.Fold.String() + "(" + name + ")"
	}
	return name
}

func quoted(values []string) string {
	q := make([]string, len(values))
	for i, v := range values {
		q[i] = "'" + strings.ReplaceAll(v, "'", "''") + "'"
	}
	return strings.Join(q, " or ")
}
