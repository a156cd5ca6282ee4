package config

import (
	"slices"
	"strings"
	"time"

	"walpurge/internal/expr"
	"walpurge/internal/identifier"
)

// Route says how the requests for one path pattern are cached and which rows their responses are computed from.
type Route struct {
	Path                 string         `yaml:"path"` // as written, unique
	Pattern              Pattern        // Path, parsed
	DependsOn            []Dependency   `yaml:"depends_on"` // empty: nothing but age ends a response
	Declared             bool           // depends_on is "response": each response names its rows in Depends-On
	TTL                  *time.Duration `yaml:"ttl"`                    // nil: what the origin says; 0: nothing is kept
	Consistency          Consistency    `yaml:"consistency"`            //
	Query                Parameters     `yaml:"query"`                  // which query parameters tell responses apart
	Vary                 []Variant      `yaml:"vary"`                   // what else does; includes all that conditions read
	StaleWhileRevalidate *time.Duration `yaml:"stale_while_revalidate"` // nil: what the origin says
	StaleIfError         *time.Duration `yaml:"stale_if_error"`         // nil: what the origin says
	OnChange             time.Duration  `yaml:"on_change"`              // how long a response may be shown after its rows have changed; 0: not at all
	ClientKeeps          bool           `yaml:"client_cache"`           // clients keep responses as the origin says, even with dependencies
	Events               bool           `yaml:"events"`                 // the proxy answers with the feed for pages that keep themselves up to date
	MaxLag               time.Duration  `yaml:"max_lag"`                // the route's own, or else the configuration's
	Pos                  Pos            // of the path

	written string // the path without what came from the environment
}

// Consistency is what a hit of a route promises.
type Consistency int

const (
	// Bounded hits are at most MaxLag behind the primary.
	Bounded Consistency = iota
	// Strict hits reflect every transaction whose commit had returned before the request arrived.
	Strict
)

func (c Consistency) String() string {
	if c == Strict {
		return "strict"
	}
	return "bounded"
}

// Parameters says which query parameters are part of a response's key.
type Parameters struct {
	Only   bool        // true: those in Names count; false: all count but those in Names
	Names  []Parameter // case-sensitive, without duplicates
	Sorted bool        // the order of the parameters that count doesn't
	Listed bool        // the file gives the key; otherwise it is the default, all
}

// Parameter is the name of a query parameter.
type Parameter struct {
	Name string
	Pos  Pos
}

// Counts reports whether the query parameter name tells responses apart.
func (p Parameters) Counts(name string) bool {
	return p.Only == slices.ContainsFunc(p.Names, func(n Parameter) bool { return n.Name == name })
}

func (p Parameters) String() string {
	names := make([]string, len(p.Names))
	for i, n := range p.Names {
		names[i] = n.Name
	}
	list := "[" + strings.Join(names, ", ") + "]"
	sorted := ""
	if p.Sorted {
		sorted = ", sorted"
	}
	switch {
	case p.Only:
		return list
	case len(names) == 0:
		return "all" + sorted
	}
	return "all but " + list + sorted
}

// Variant is a request header field or a cookie that tells responses of one URL apart.
type Variant struct {
	Source expr.Source // Header or Cookie
	Name   string      // header names in lower case
	Pos    Pos
}

func (v Variant) String() string { return v.Source.String() + "." + v.Name }

// Dependency is a table that a route's responses are computed from, narrowed by conditions. A row change matters if
// the row's old or new version satisfies all of them.
type Dependency struct {
	Table   Table       `yaml:"table"`
	Where   []Condition `yaml:"where"`   // in the file's order; empty: every row
	Columns []Column    `yaml:"columns"` // empty: a change of any column matters
	Pos     Pos
}

func (d Dependency) String() string {
	var b strings.Builder
	b.WriteString(d.Table.String())
	for i, c := range d.Where {
		b.WriteString([]string{" where ", " and "}[min(i, 1)] + c.String())
	}
	for i, c := range d.Columns {
		b.WriteString([]string{" columns ", ", "}[min(i, 1)] + identifier.Quote(c.Name))
	}
	return b.String()
}

// Table names a table exactly as the catalogue does: nothing is folded to lower case.
type Table struct {
	Schema, Name string
	Pos          Pos
}

// Qualified is the name with its schema: what tells tables apart.
func (t Table) Qualified() string { return identifier.Table{Schema: t.Schema, Name: t.Name}.String() }

// String is the name as it is written in the file; the schema public is left out.
func (t Table) String() string { return identifier.Table{Schema: t.Schema, Name: t.Name}.Short() }

// Column names a column exactly as the catalogue does.
type Column struct {
	Name string
	Pos  Pos
}

// Condition narrows a dependency by one column: equality with any of some values, or an inclusive range.
type Condition struct {
	Column string
	Fold   Fold   // applied to the column before it is compared
	Any    []Expr // equality with any of these; nil for a range
	From   *Expr  `yaml:"from"` // nil: no lower end
	To     *Expr  `yaml:"to"`   // nil: no upper end
	Pos    Pos    // of the key
}

// Range reports whether the condition is a range; otherwise it is an equality.
func (c Condition) Range() bool { return c.Any == nil }

func (c Condition) String() string {
	left := identifier.Quote(c.Column)
	if c.Fold != FoldNone {
		left = c.Fold.String() + "(" + left + ")"
	}
	if !c.Range() {
		values := make([]string, len(c.Any))
		for i, e := range c.Any {
			values[i] = e.String()
		}
		return left + " = " + strings.Join(values, " or ")
	}
	var ends []string
	if c.From != nil {
		ends = append(ends, left+" >= "+c.From.String())
	}
	if c.To != nil {
		ends = append(ends, left+" <= "+c.To.String())
	}
	return strings.Join(ends, " and ")
}
