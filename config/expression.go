package config

import (
	"strconv"
	"strings"
)

// Source is where an expression's value comes from.
type Source int

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

func (s Source) String() string {
	if s == Literal {
		return "literal"
	}
	return sourceNames[s]
}

// Func is a function over text.
type Func int

// The functions.
const (
	Lower Func = iota
	Upper
	Trim
)

var funcNames = []string{"lower", "upper", "trim"}

func (f Func) String() string { return funcNames[f] }

// Fold is the function that a condition applies to its column.
type Fold int

// The folds.
const (
	FoldNone Fold = iota
	FoldLower
	FoldUpper
)

func (f Fold) String() string { return []string{"none", "lower", "upper"}[f] }

// Step is one step of a path into a JSON document.
type Step struct {
	Kind  StepKind
	Name  string // of a Member
	Index int    // of an Element, from 0
}

// StepKind tells the steps of a JSON path apart.
type StepKind int

// The kinds of steps.
const (
	Member   StepKind = iota // .name: a member of an object
	Element                  // [n]: an element of an array
	Elements                 // [*]: every element of an array
)

// Expr is a value taken from the request, from the response's body or from the file.
type Expr struct {
	Source  Source
	Name    string // of the parameter, header field (lower case) or cookie
	Steps   []Step // Body: the way to the values; empty is the body itself
	Literal string // the constant as text; it is read as the column's type
	Funcs   []Func // applied in this order, the innermost first
	Pos     Pos

	env string // as written in the file, if a part came from the environment
}

// String is the expression in the words of the file, with the reference instead of a value from the environment.
func (e Expr) String() string {
	if e.env != "" {
		return e.env
	}
	var s string
	switch e.Source {
	case Literal:
		s = "'" + strings.ReplaceAll(e.Literal, "'", "''") + "'"
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
