// Package expr has the words of a condition: where a value comes from and what is
// done with it, as the configuration spells it. It reads and writes them; what
// they come to for a request is not its affair.
package expr

import (
	"strconv"
	"strings"
)

// Source is where an expression's value comes from.
type Source uint8

// The sources.
const (
	Path    Source = iota // a parameter of the route's path
	Query                 // a parameter of the query; a repeated one has several values
	Header                // a request header field
	Cookie                // a cookie
	Body                  // values in the response's JSON body
	Literal               // a constant
)

var sourceNames = []string{"path", "query", "header", "cookie", "body"}

// String is the source as the configuration spells it.
func (s Source) String() string {
	if s == Literal {
		return "literal"
	}
	return sourceNames[s]
}

// Func is a function over text.
type Func uint8

// The functions.
const (
	Lower Func = iota
	Upper
	Trim
)

var funcNames = []string{"lower", "upper", "trim"}

// String is the function as the configuration spells it.
func (f Func) String() string { return funcNames[f] }

// Step is one step of a path into a JSON document.
type Step struct {
	Kind  StepKind
	Name  string // of a Member
	Index int    // of an Element, from 0
}

// StepKind tells the steps of a JSON path apart.
type StepKind uint8

// The kinds of steps.
const (
	Member   StepKind = iota // .name: a member of an object
	Element                  // [n]: an element of an array
	Elements                 // [*]: every element of an array
)

// Expr is a value taken from the request or from the response's body, or a
// constant.
type Expr struct {
	Source Source
	Name   string // of the parameter, header field (lower case) or cookie; the text of a Literal, which is read as the column's type
	Steps  []Step // of a Body: the way to the values; empty is the body itself
	Funcs  []Func // applied in this order, the innermost first
}

// String is the expression as the configuration spells it.
func (e Expr) String() string {
	var s string
	switch e.Source {
	case Literal:
		s = "'" + strings.ReplaceAll(e.Name, "'", "''") + "'"
	case Body:
		s = "body" + stepsString(e.Steps)
	default:
		s = e.Source.String() + "." + e.Name
	}
	for _, f := range e.Funcs {
		s = f.String() + "(" + s + ")"
	}
	return s
}

func stepsString(steps []Step) string {
	var b strings.Builder
	for _, s := range steps {
		switch s.Kind {
		case Member:
			b.WriteString("." + s.Name)
		case Element:
			b.WriteString("[" + strconv.Itoa(s.Index) + "]")
		case Elements:
			b.WriteString("[*]")
		}
	}
	return b.String()
}
