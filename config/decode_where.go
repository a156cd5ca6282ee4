package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"walpurge/internal/expr"
	"walpurge/internal/identifier"
	"walpurge/internal/suggest"
)

var (
	foldedColumn = regexp.MustCompile(`^\s*([A-Za-z_]+)\s*\(\s*(.*?)\s*\)\s*$`)
	plainNumber  = regexp.MustCompile(`^[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$`)
)

func (d *decoder) where(n *node) []Condition {
	if d.note(whereShape()) {
		return nil
	}
	if n.kind != mapping {
		d.fail(n.pos, "where wants keys and values, not %s; write COLUMN: VALUE lines", n.what())
		return nil
	}
	var conditions []Condition
	for _, e := range n.entries {
		if e.value.broken {
			continue
		}
		c := Condition{Pos: e.pos}
		if d.left(e, &c) && d.right(e.value, &c) {
			conditions = append(conditions, c)
		}
	}
	return conditions
}

// left reads the column and the function over it. A name in double quotes is a column whatever it holds.
func (d *decoder) left(e entry, c *Condition) bool {
	column := e.key
	if m := foldedColumn.FindStringSubmatch(e.key); m != nil {
		folds := []string{"lower", "upper"}
		i := slices.Index(folds, m[1])
		if i < 0 {
			d.fail(e.pos, "there is no function %q over a column; %s (a column of that name is written %s)", m[1], suggest.For(m[1], folds), inQuotes(e.key))
			return false
		}
		column, c.Fold = m[2], Fold(i+1)
	}
	if column == "" || !strings.HasPrefix(column, `"`) && strings.ContainsAny(column, "()") {
		d.fail(e.pos, "%q is not a column; write COLUMN, lower(COLUMN) or upper(COLUMN), and a name with brackets in double quotes, as in '\"price (eur)\"'", e.key)
		return false
	}
	var ok bool
	c.Column, ok = d.columnName(e.pos, column, fmt.Sprintf("%q", e.key))
	return ok
}

// inQuotes is a column's name, quoted, as it is written in the file.
func inQuotes(column string) string { return identifier.InFile(identifier.Quote(column)) }

// right reads one value, a list of values or a range.
func (d *decoder) right(n *node, c *Condition) bool {
	switch n.kind {
	case mapping:
		return d.bounds(n, c)
	case sequence:
		if len(n.items) == 0 {
			d.fail(n.pos, "%s has an empty list, which no row can match; list its values or leave the column out", c.Column)
			return false
		}
		whole := true
		for _, item := range n.items {
			whole = d.value(item, c) && whole
		}
		return whole
	}
	return d.value(n, c)
}

func (d *decoder) value(n *node, c *Condition) bool {
	e, ok := d.expr(n)
	if ok {
		c.Any = append(c.Any, e)
	}
	return ok
}

func (d *decoder) bounds(n *node, c *Condition) bool {
	bad := false
	end := func(into **Expr) func(*node) {
		return func(n *node) {
			e, ok := d.expr(n)
			*into, bad = &e, bad || !ok
		}
	}
	before := len(d.problems)
	d.fields(n, "a range ", []field{{"from", end(&c.From)}, {"to", end(&c.To)}})
	if len(n.entries) == 0 {
		d.fail(n.pos, "the range of %s has no end; give from, to or both", c.Column)
	}
	return !bad && len(d.problems) == before && (c.From != nil || c.To != nil)
}

// expr reads an expression, or a number or truth value, which YAML doesn't quote.
func (d *decoder) expr(n *node) (Expr, bool) {
	switch {
	case n.broken:
		return Expr{}, false
	case n.kind == null:
		d.fail(n.pos, "a value is missing; %s (NULL satisfies no condition)", expr.Forms)
		return Expr{}, false
	case n.kind != scalar:
		d.fail(n.pos, "a value is wanted here, not %s; %s", n.what(), expr.Forms)
		return Expr{}, false
	}
	e, offset := Expr{Expr: expr.Expr{Source: expr.Literal, Name: n.text}}, 0
	if constant := n.plain && (plainNumber.MatchString(n.text) || n.text == "true" || n.text == "false"); !constant {
		var err error
		e.Expr, offset, err = expr.Parse(n.text)
		if at := (*expr.Error)(nil); errors.As(err, &at) {
			d.fail(n.at(at.Offset), "%s", d.unlessEnv(n, err, "a value"))
			return Expr{}, false
		}
	}
	if e.Pos = n.at(offset); len(n.env) > 0 {
		e.env = n.raw
	}
	return e, true
}
