package depends

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"walpurge/internal/coherence"
	"walpurge/internal/expr"
	"walpurge/internal/http1"
)

// maxDots bounds the places at which a value of the path may be cut.
const maxDots = 4

// readings are what services make of a request's values: a condition on the
// column has to hold for all of them. ok is false where that can't be told,
// and then there is no condition (G5). docs/decisions/0010 has the services.
func readings(e *expr.Expr, values []string, column *coherence.Column) (read []string, ok bool) {
	for _, v := range values {
		if slices.Contains(e.Funcs, expr.Trim) {
			v = strings.Trim(v, " ")
		}
		if !Plain(v) || Trimmable(v) {
			return nil, false
		}
		if read, ok = pieces(e, read, v); !ok {
			return nil, false
		}
	}
	if len(values) > 1 && column.Textual() {
		read = append(read, strings.Join(values, ",")) // as ASP.NET, Spring and JavaScript make one text of several
	}
	if read, ok = apply(e, read); !ok {
		return nil, false
	}
	all := make([]string, 0, len(read))
	for _, v := range read {
		as, ok := column.Readings(v)
		if !ok {
			return nil, false
		}
		for _, v := range as {
			if !slices.Contains(all, v) {
				all = append(all, v)
			}
		}
	}
	return all, true
}

// pieces appends a value, and what services that cut it make of it.
func pieces(e *expr.Expr, to []string, v string) ([]string, bool) {
	to = append(to, v)
	switch e.Source {
	case expr.Path: // a format behind a dot: Rails, Spring
		last := v[strings.LastIndexByte(v, '/')+1:]
		if strings.Count(last, ".") > maxDots || strings.HasPrefix(last, ".") {
			return nil, false
		}
		for i := len(v) - len(last); i < len(v); i++ {
			if v[i] == '.' {
				to = append(to, v[:i])
			}
		}
	case expr.Query, expr.Header: // a list: Spring
		if strings.IndexByte(v, ',') < 0 {
			return to, true
		}
		for piece := range strings.SplitSeq(v, ",") {
			trimmed := strings.Trim(piece, " ")
			if trimmed == "" || Trimmable(trimmed) {
				return nil, false
			}
			if to = append(to, trimmed); piece != trimmed {
				to = append(to, piece)
			}
		}
	}
	return to, true
}

// Plain tells whether a value can be compared: valid UTF-8, no NUL and nothing
// that a server might cut it at or decode again.
func Plain(v string) bool {
	if v == "" || !utf8.ValidString(v) || strings.ContainsAny(v, "\x00;") {
		return false
	}
	for i := 0; i+2 < len(v); i++ {
		if v[i] == '%' && http1.Unhex(v[i+1]) >= 0 && http1.Unhex(v[i+2]) >= 0 {
			return false
		}
	}
	return true
}

// Trimmable tells whether anybody's trim would take something off v. Some
// frameworks trim every parameter, and each language has its own white space.
func Trimmable(v string) bool {
	first, _ := utf8.DecodeRuneInString(v)
	last, _ := utf8.DecodeLastRuneInString(v)
	return v == "" || spaceToSome(first) || spaceToSome(last)
}

func spaceToSome(r rune) bool {
	if r < utf8.RuneSelf {
		return r <= ' ' || r == 0x7f
	}
	return unicode.IsSpace(r) || unicode.In(r, unicode.C, unicode.Z, unicode.Other_Default_Ignorable_Code_Point) ||
		r == 0x2800 || r == 0x1d159 // signs without ink
}
