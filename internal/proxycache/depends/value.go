package depends

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"

	"walpurge/internal/coherence"
	"walpurge/internal/expr"
	"walpurge/internal/http1"
)

// Subject is the part of a request that expressions read.
type Subject struct {
	Request *http1.Request
	Path    []byte   // raw
	Query   []byte   // raw, as the origin gets it
	Params  []string // the names of the route's path parameters
	Places  []Span   // where they stand in path, in the same order

	Body *Document // the response's, once it is whole

	parsed bool
	pairs  []pair
	sure   bool // the query was read with certainty
}

// Span is a piece of the path.
type Span struct{ From, To int }

// Operand evaluates alternatives: a condition on the column holds if it equals
// any. One that can't be read with certainty takes the condition away (C6).
func (s *Subject) Operand(any []expr.Expr, column *coherence.Column) coherence.Operand {
	var op coherence.Operand
	for i := range any {
		values, ok := s.values(&any[i], column)
		if !ok {
			return coherence.Operand{}
		}
		op.Values = append(op.Values, values...)
	}
	op.Present = len(op.Values) > 0
	return op
}

// values evaluates one expression. ok is false when it gives no condition.
func (s *Subject) values(e *expr.Expr, column *coherence.Column) (values []string, ok bool) {
	switch e.Source {
	case expr.Literal:
		return apply(e, []string{e.Name})
	case expr.Body:
		if values, ok = s.Body.values(e.Steps); !ok {
			return nil, false
		}
		return apply(e, values)
	case expr.Path:
		values, ok = s.pathValue(e.Name)
	case expr.Query:
		values, ok = s.queryValues(e.Name)
	case expr.Header:
		values, ok = s.headerValue(e.Name)
	case expr.Cookie:
		values, ok = s.cookieValue(e.Name)
	}
	if !ok {
		return nil, false
	}
	return readings(e, values, column)
}

// apply applies the functions to all values.
func apply(e *expr.Expr, values []string) ([]string, bool) {
	for i := range values {
		for _, f := range e.Funcs {
			v, ok := applyOne(f, values[i])
			if !ok {
				return nil, false
			}
			values[i] = v
		}
	}
	return values, true
}

// applyOne computes a function. Outside ASCII, letter case is the database's
// locale's business and not ours: no condition. So is what counts as white
// space, but for the blank.
func applyOne(f expr.Func, v string) (string, bool) {
	if f == expr.Trim {
		v = strings.Trim(v, " ")
		return v, !Trimmable(v)
	}
	for i := range len(v) {
		if v[i] >= utf8.RuneSelf {
			return "", false
		}
	}
	if f == expr.Lower {
		return strings.ToLower(v), true
	}
	return strings.ToUpper(v), true
}

func (s *Subject) pathValue(name string) ([]string, bool) {
	i := slices.Index(s.Params, name)
	if i < 0 || i >= len(s.Places) {
		return nil, false
	}
	raw := s.Path[s.Places[i].From:s.Places[i].To]
	if !ascii(raw) || bytes.IndexByte(raw, '+') >= 0 { // a blank to some
		return nil, false
	}
	v, ok := http1.Unescape(raw, false)
	return []string{v}, ok
}

func (s *Subject) headerValue(name string) ([]string, bool) {
	values := s.Request.Values(strings.ToLower(name))
	if len(values) != 1 || !ascii(values[0]) {
		return nil, false // servers join repeated fields, and decode them, in their own ways
	}
	return []string{string(values[0])}, true
}

func (s *Subject) cookieValue(name string) ([]string, bool) {
	v, n := http1.FindCookie(s.Request, name)
	if n != 1 || !ascii(v) || bytes.ContainsAny(v, "\"%+,\\ ") || bytes.HasPrefix(v, []byte("j:")) || bytes.HasPrefix(v, []byte("s:")) {
		return nil, false // quoted, encoded, several in one, or as Express marks JSON and what is signed
	}
	return []string{string(v)}, true
}
