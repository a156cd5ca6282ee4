package catalogue

import (
	"fmt"
	"strings"
)

// Refusal is one thing that stands in the way, and what to do about it.
type Refusal struct {
	Table   string // qualified; empty when it is not about a table
	Column  string // empty when it is not about a column
	Message string // what is wrong
	Mend    string // the next step; a statement where one is enough
}

// String is the refusal in one sentence, the mend last.
func (r Refusal) String() string { return r.Message + "; " + r.Mend }

// RefusalError is why a database can't be listened to as it is.
type RefusalError struct{ Refusals []Refusal }

// Error is the refusals, a line each.
func (e *RefusalError) Error() string {
	lines := make([]string, len(e.Refusals))
	for i, r := range e.Refusals {
		lines[i] = r.String()
	}
	return strings.Join(lines, "\n")
}

// Refusals collects them.
type Refusals []Refusal

func (r *Refusals) server(mend, format string, args ...any) {
	*r = append(*r, Refusal{Message: fmt.Sprintf(format, args...), Mend: mend})
}

func (r *Refusals) table(table, mend, format string, args ...any) {
	*r = append(*r, Refusal{Table: table, Message: fmt.Sprintf(format, args...), Mend: mend})
}

func (r *Refusals) column(table, column, mend, format string, args ...any) {
	*r = append(*r, Refusal{Table: table, Column: column, Message: fmt.Sprintf(format, args...), Mend: mend})
}

// Err is nil when nothing was refused.
func (r Refusals) Err() error {
	if len(r) == 0 {
		return nil
	}
	return &RefusalError{Refusals: r}
}

// nearest are the candidates that look like a misspelling of name, at most
// three, in the candidates' order.
func nearest(name string, candidates []string) []string {
	var found []string
	for _, c := range candidates {
		if len(found) < 3 && distance(strings.ToLower(name), strings.ToLower(c)) <= 1+len(name)/4 {
			found = append(found, c)
		}
	}
	return found
}

// distance is the number of bytes to insert, delete or replace on the way
// from a to b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
