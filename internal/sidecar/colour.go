package sidecar

import (
	"io"
	"os"

	"golang.org/x/term"
)

// palette writes with colours where somebody sees them: on a terminal, unless
// NO_COLOR is set (https://no-color.org) or the terminal is a dumb one.
type palette bool

func newPalette(w io.Writer) palette {
	return palette(terminal(w) != nil && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb")
}

// terminal is w if it is a terminal, else nil.
func terminal(w io.Writer) *os.File {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return f
}

func (p palette) wrap(code, s string) string {
	if !p {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (p palette) good(s string) string  { return p.wrap("32", s) }
func (p palette) bad(s string) string   { return p.wrap("1;31", s) }
func (p palette) odd(s string) string   { return p.wrap("33", s) }
func (p palette) bold(s string) string  { return p.wrap("1", s) }
func (p palette) faint(s string) string { return p.wrap("2", s) }
