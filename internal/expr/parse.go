package expr

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"walpurge/internal/suggest"
)

// Error is what is wrong with an expression, and at which byte of it.
type Error struct {
	Offset  int // in the text, bytes
	Message string
}

// Error is the message: one sentence with the mend.
func (e *Error) Error() string { return e.Message }

func exprErrorf(offset int, format string, args ...any) error {
	return &Error{offset, fmt.Sprintf(format, args...)}
}

// Forms says in a sentence what a value looks like.
const Forms = `a value is path.NAME, query.NAME, header.NAME, cookie.NAME, body.NAME or a literal with quotes of its own inside YAML's: "'text'"`

// Parse reads an expression; an error is an *Error. It returns the byte offset at which its value, inside the functions, begins.
func Parse(text string) (e Expr, at int, err error) {
	from, to := 0, len(text)
	for {
		for from < to && text[from] == ' ' {
			from++
		}
		for from < to && text[to-1] == ' ' {
			to--
		}
		inner := text[from:to]
		if inner == "" {
			return e, from, exprErrorf(from, "a value is missing; %s", Forms)
		}
		if inner[0] == '\'' || inner[0] == '"' {
			e.Source = Literal
			e.Name, err = parseQuoted(inner)
			return e, from, shift(err, from)
		}
		open := strings.IndexByte(inner, '(')
		if open < 0 || strings.ContainsAny(inner[:open], ".'\"") {
			err = parseSource(inner, &e)
			return e, from, shift(err, from)
		}
		name := strings.TrimRight(inner[:open], " ")
		f := indexOf(funcNames, name)
		if f < 0 {
			return e, from, exprErrorf(from, "there is no function %q; %s", name, suggest.For(name, funcNames))
		}
		if inner[len(inner)-1] != ')' {
			return e, from, exprErrorf(from+open, "this bracket is not closed at the end; write %s(VALUE)", name)
		}
		e.Funcs = append([]Func{Func(f)}, e.Funcs...) // read from the outside, applied from the inside
		from, to = from+open+1, to-1
	}
}

func shift(err error, by int) error {
	var at *Error
	if errors.As(err, &at) {
		at.Offset += by
	}
	return err
}

func indexOf(words []string, word string) int {
	for i, w := range words {
		if w == word {
			return i
		}
	}
	return -1
}

func parseQuoted(text string) (string, error) {
	quote := text[:1]
	var b strings.Builder
	for at := 1; ; {
		i := strings.Index(text[at:], quote)
		if i < 0 {
			return "", exprErrorf(0, "this literal is not closed; end it with %s", quote)
		}
		b.WriteString(text[at : at+i])
		at += i + 1
		switch {
		case at == len(text):
			return b.String(), nil
		case text[at:at+1] != quote:
			return "", exprErrorf(at, "text after the literal; double a quote that belongs to it")
		}
		b.WriteString(quote)
		at++
	}
}

var (
	pathName  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	fieldName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$") // RFC 9110 section 5.6.2, token; cookies the same
	queryName = regexp.MustCompile(`^[^\s(),'"]+$`)
	bodyStep  = regexp.MustCompile(`^(?:\.([A-Za-z_][A-Za-z0-9_-]*)|\[(\*|[0-9]{1,9})\])`)
)

func parseSource(text string, e *Expr) error {
	word := text
	if i := strings.IndexAny(text, ".["); i >= 0 {
		word = text[:i]
	}
	s := indexOf(sourceNames, word)
	switch {
	case s < 0 && word == text:
		return exprErrorf(0, `%q is not a value; for the text itself write "'%s'", otherwise path.NAME, query.NAME, header.NAME, cookie.NAME or body.NAME`, text, text)
	case s < 0:
		return exprErrorf(0, "there is no source %q; %s", word, suggest.For(word, sourceNames))
	}
	e.Source = Source(s)
	if e.Source == Body {
		return parseSteps(text, e)
	}
	name := strings.TrimPrefix(text[len(word):], ".")
	if name == "" || text[len(word)] != '.' {
		return exprErrorf(0, "%s needs a name; write %s.NAME", word, word)
	}
	valid := false
	switch e.Source {
	case Path:
		valid = pathName.MatchString(name)
	case Query:
		valid = queryName.MatchString(name)
	default:
		valid = fieldName.MatchString(name)
	}
	if !valid {
		return exprErrorf(len(word)+1, "%q can't be a name in %s; check for a stray character", name, word)
	}
	if e.Source == Header {
		name = strings.ToLower(name)
	}
	e.Name = name
	return nil
}

func parseSteps(text string, e *Expr) error {
	for at := len("body"); at < len(text); {
		m := bodyStep.FindStringSubmatch(text[at:])
		switch {
		case m == nil:
			return exprErrorf(at, "%q is not a step into the JSON body; write .name, [*] or [0]", text[at:])
		case m[1] != "":
			e.Steps = append(e.Steps, Step{Kind: Member, Name: m[1]})
		case m[2] == "*":
			e.Steps = append(e.Steps, Step{Kind: Elements})
		default:
			n, err := strconv.Atoi(m[2])
			if err != nil {
				return exprErrorf(at, "%s is not an index", m[2])
			}
			e.Steps = append(e.Steps, Step{Kind: Element, Index: n})
		}
		at += len(m[0])
	}
	return nil
}

// IsFieldName tells whether name can be that of a header field or a cookie (RFC
// 9110 section 5.6.2).
func IsFieldName(name string) bool { return fieldName.MatchString(name) }
