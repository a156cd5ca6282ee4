package config

import "walpurge/internal/expr"

// Fold is the function that a condition applies to its column.
type Fold int

// The folds.
const (
	FoldNone Fold = iota
	FoldLower
	FoldUpper
)

func (f Fold) String() string { return []string{"none", "lower", "upper"}[f] }

// Expr is an expression where it stands in the file.
type Expr struct {
	expr.Expr
	Pos Pos

	env string // as written in the file, if a part came from the environment
}

// String is the expression in the words of the file, with the reference instead of a value from the environment.
func (e Expr) String() string {
	if e.env != "" {
		return e.env
	}
	return e.Expr.String()
}
