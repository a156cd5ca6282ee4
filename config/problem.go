package config

import (
	"fmt"
	"slices"
	"strings"
)

// Pos is a place in the configuration file. Line and Column count from 1, columns in characters (not bytes). The zero
// Pos means that the value stands nowhere in the file: it is a default.
type Pos struct{ Line, Column int }

// IsZero reports whether the value stands nowhere in the file.
func (p Pos) IsZero() bool { return p == Pos{} }

func (p Pos) before(q Pos) bool {
	return p.Line < q.Line || p.Line == q.Line && p.Column < q.Column
}

// Problem is one thing that is wrong with a configuration file. Line and Column count from 1; Line 0 means the file as
// a whole (it could not be read).
type Problem struct {
	File         string
	Line, Column int
	Message      string // what is wrong; after a semicolon, what to do about it

	source string // the line, with secrets masked
	caret  int    // column of the caret below source, from 1
}

// String is the problem in one line: FILE:LINE:COLUMN: message.
func (p Problem) String() string {
	if p.Line == 0 {
		return fmt.Sprintf("%s: %s", p.File, p.Message)
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message)
}

// Errors is every problem found in one file, by position. It is the only kind of error that [Load] and [Parse] return.
type Errors struct {
	Problems []Problem

	cause error
}

// NewErrors sorts problems by position. It returns nil when there are none, as an error that compares equal to nil.
func NewErrors(problems ...Problem) error {
	if len(problems) == 0 {
		return nil
	}
	sorted := slices.Clone(problems)
	slices.SortStableFunc(sorted, func(a, b Problem) int {
		p, q := Pos{a.Line, a.Column}, Pos{b.Line, b.Column}
		switch {
		case a.File != b.File:
			return strings.Compare(a.File, b.File)
		case p.before(q):
			return -1
		case q.before(p):
			return 1
		}
		return 0
	})
	return &Errors{Problems: slices.Compact(sorted)} // what stands in an anchor is read once for each alias
}

// maxPrinted keeps a file of another kind, read by mistake, from filling the terminal.
const maxPrinted = 50

// Error prints each problem in one line, followed by its source line and a caret below the column, unless that line is empty.
func (e *Errors) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteByte('\n')
		}
		if i == maxPrinted {
			fmt.Fprintf(&b, "and %d more", len(e.Problems)-maxPrinted)
			break
		}
		b.WriteString(p.String())
		if p.source != "" {
			fmt.Fprintf(&b, "\n    %s\n    %s^", p.source, strings.Repeat(" ", p.caret-1))
		}
	}
	return b.String()
}

// Unwrap returns why the file could not be read, if that is the problem.
func (e *Errors) Unwrap() error { return e.cause }

// source is the text that positions refer to.
type source struct {
	name    string
	lines   []string
	secrets []string          // literal secrets found in the file, masked wherever a line is shown
	hidden  map[int][]stretch // by line: what is never shown
}

func newSource(name, text string) *source {
	return &source{name: name, lines: strings.Split(text, "\n"), hidden: map[int][]stretch{}}
}

// clamp moves a position that lies outside the file to the nearest one inside. The column may be one past the end of its line.
func (s *source) clamp(pos Pos) Pos {
	pos.Line = min(max(pos.Line, 1), len(s.lines))
	pos.Column = min(max(pos.Column, 1), len([]rune(s.lines[pos.Line-1]))+1)
	return pos
}

func (s *source) problem(pos Pos, format string, args ...any) Problem {
	pos = s.clamp(pos)
	p := Problem{File: s.name, Line: pos.Line, Column: pos.Column, Message: oneLine(strings.ReplaceAll(fmt.Sprintf(format, args...), "\t", `\t`))}
	text, caret := maskLine(s.lines[pos.Line-1], s.secrets, s.hidden[pos.Line], pos.Column)
	p.source, p.caret = window(oneLine(text), caret)
	return p
}

// maxSource is how many characters of a line are shown.
const maxSource = 160

// window cuts a long line to the part around the caret.
func window(line string, caret int) (string, int) {
	text := []rune(line)
	if len(text) <= maxSource {
		return line, caret
	}
	from := min(max(caret-maxSource/2, 0), len(text)-maxSource)
	return string(text[from : from+maxSource]), caret - from
}

// oneLine replaces what would break the line or drive the terminal, one character for one, so that columns stay.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n' || r == '\r':
			return ' '
		case !printable(r):
			return '?'
		}
		return r
	}, s)
}
