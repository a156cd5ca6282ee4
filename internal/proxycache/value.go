package proxycache

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"

	"walpurge/internal/coherence"
	"walpurge/internal/proxycache/http1"
)

// Source is where an expression's value comes from.
type Source uint8

// The sources.
const (
	Path    Source = iota // a parameter of the route's path, percent-decoded
	Query                 // a parameter of the query; a repeated one has several values
	Header                // a request header field
	Cookie                // a cookie
	Literal               // a constant
	Body                  // values in the response's JSON body
)

var sourceNames = [...]string{"path", "query", "header", "cookie", "literal", "body"}

// String is the source as the configuration spells it.
func (s Source) String() string { return sourceNames[s] }

// Func is a function over text.
type Func uint8

// The functions.
const (
	Lower Func = iota
	Upper
	Trim
)

var funcNames = [...]string{"lower", "upper", "trim"}

// String is the function as the configuration spells it.
func (f Func) String() string { return funcNames[f] }

// Expr is a value taken from the request or from the response's body, or a
// constant.
type Expr struct {
	Source Source
	Name   string // of the parameter, header field or cookie; the text of a Literal
	Steps  []Step // of a Body: the way to the values
	Funcs  []Func // applied in this order
}

// String is the expression as the configuration spells it.
func (e Expr) String() string {
	s := e.Source.String() + "." + e.Name
	switch e.Source {
	case Literal:
		s = "'" + strings.ReplaceAll(e.Name, "'", "''") + "'"
	case Body:
		s = stepsString(e.Steps)
	}
	for _, f := range e.Funcs {
		s = f.String() + "(" + s + ")"
	}
	return s
}

// subject is the part of a request that expressions read.
type subject struct {
	req    *http1.Request
	path   []byte // raw
	query  []byte // raw, as the origin gets it
	places []span // of the route's path parameters, in the order of route.params
	route  *route

	body *document // the response's, once it is whole

	parsed bool
	pairs  []pair
	sure   bool // the query was read with certainty
}

// span is a piece of the path.
type span struct{ from, to int }

// operand evaluates alternatives: a condition holds if the column equals any.
// One that can't be read with certainty takes the condition away (C6).
func (s *subject) operand(any []Expr) coherence.Operand {
	var op coherence.Operand
	for i := range any {
		values, ok := s.values(&any[i])
		if !ok {
			return coherence.Operand{}
		}
		op.Values = append(op.Values, values...)
	}
	op.Present = len(op.Values) > 0
	return op
}

// values evaluates one expression. ok is false when it gives no condition.
func (s *subject) values(e *Expr) (values []string, ok bool) {
	switch e.Source {
	case Literal:
		values = []string{e.Name}
	case Path:
		values, ok = s.pathValue(e.Name)
	case Query:
		values, ok = s.queryValues(e.Name)
	case Header:
		values, ok = s.headerValue(e.Name)
	case Cookie:
		values, ok = s.cookieValue(e.Name)
	case Body:
		values, ok = s.body.values(e.Steps)
	}
	if e.Source != Literal && !ok {
		return nil, false
	}
	for i, v := range values {
		if e.Source != Literal && e.Source != Body && !plain(v) {
			return nil, false
		}
		for _, f := range e.Funcs {
			if v, ok = f.apply(v); !ok {
				return nil, false
			}
		}
		values[i] = v
	}
	return values, true
}

// apply computes a function. Outside ASCII, letter case is the database's
// locale's business and not ours: no condition.
func (f Func) apply(v string) (string, bool) {
	if f == Trim {
		return strings.TrimSpace(v), true
	}
	for i := range len(v) {
		if v[i] >= utf8.RuneSelf {
			return "", false
		}
	}
	if f == Lower {
		return strings.ToLower(v), true
	}
	return strings.ToUpper(v), true
}

// plain tells whether a value can be compared: not blank, valid UTF-8, no NUL
// and nothing that a server might cut it at.
func plain(v string) bool {
	return strings.TrimSpace(v) != "" && utf8.ValidString(v) && !strings.ContainsAny(v, "\x00;")
}

func (s *subject) pathValue(name string) ([]string, bool) {
	i := slices.Index(s.route.params, name)
	if i < 0 || i >= len(s.places) {
		return nil, false
	}
	v, ok := unescape(s.path[s.places[i].from:s.places[i].to], false)
	return []string{v}, ok
}

func (s *subject) headerValue(name string) ([]string, bool) {
	values := s.req.Values(strings.ToLower(name))
	if len(values) != 1 {
		return nil, false // servers join repeated fields in their own ways
	}
	return []string{string(values[0])}, true
}

func (s *subject) cookieValue(name string) ([]string, bool) {
	v, n := cookie(s.req, name)
	if n != 1 || bytes.ContainsAny(v, `"%`) {
		return nil, false
	}
	return []string{string(v)}, true
}

// cookie finds a cookie and counts how often its name appears, blind to
// letter case.
func cookie(req *http1.Request, name string) (value []byte, n int) {
	if !req.Has(http1.Of(http1.Cookie)) {
		return nil, 0
	}
	for i := range req.Fields {
		if req.Fields[i].ID != http1.Cookie {
			continue
		}
		for part := range bytes.SplitSeq(req.Fields[i].Value, []byte{';'}) {
			k, v, _ := bytes.Cut(bytes.TrimSpace(part), []byte{'='})
			if k = bytes.TrimSpace(k); bytes.EqualFold(k, []byte(name)) {
				if n++; n == 1 && string(k) == name {
					value = bytes.TrimSpace(v)
				}
			}
		}
	}
	return value, n
}

// pair is one parameter of the query.
type pair struct {
	raw    []byte // the name as sent
	name   string // decoded once
	folded string // see foldName
	base   string // folded, without an index in brackets
	value  string
	sure   bool // the value was read with certainty
}

// queryValues finds the values of a parameter. A server may read names more
// freely than we do: another letter case, an index in brackets, a name
// encoded twice. Where one that is nearly ours appears there is no condition.
func (s *subject) queryValues(name string) ([]string, bool) {
	if !s.parsed {
		s.parseQuery()
	}
	if !s.sure {
		return nil, false
	}
	var values []string
	folded := foldName(name)
	for i := range s.pairs {
		p := &s.pairs[i]
		switch {
		case p.folded != folded && p.base != folded:
		case p.name != name || string(p.raw) != name && !equalEscaped(p.raw, name) || !p.sure:
			return nil, false
		default:
			values = append(values, p.value)
		}
	}
	return values, len(values) > 0
}

// equalEscaped tells whether raw is name with what has to be encoded encoded.
// Any other spelling of the name is a doubt.
func equalEscaped(raw []byte, name string) bool {
	for _, c := range []byte(name) {
		if c != '[' && c != ']' && c < utf8.RuneSelf {
			continue
		}
		v, ok := unescape(raw, true)
		return ok && v == name
	}
	return false
}

func (s *subject) parseQuery() {
	s.parsed, s.sure = true, true
	if bytes.IndexByte(s.query, ';') >= 0 {
		s.sure = false // some servers split there
		return
	}
	for part := range bytes.SplitSeq(s.query, []byte{'&'}) {
		if len(part) == 0 {
			continue
		}
		k, v, _ := bytes.Cut(part, []byte{'='})
		p := pair{raw: k}
		var ok bool
		if p.name, ok = unescape(k, true); !ok || !utf8.ValidString(p.name) {
			s.sure = false
			return
		}
		p.folded = foldName(p.name)
		p.base, _, _ = strings.Cut(p.folded, "[")
		p.value, p.sure = unescape(v, true)
		s.pairs = append(s.pairs, p)
	}
}

// foldName maps names that some server takes for the same to one.
func foldName(name string) string {
	if twice, ok := unescape([]byte(name), true); ok {
		name = twice
	}
	name, _, _ = strings.Cut(name, "\x00")
	name = strings.ToLower(strings.TrimSpace(name))
	return strings.Map(func(r rune) rune {
		if r == '.' || r == ' ' || r == '-' {
			return '_'
		}
		return r
	}, name)
}

// unescape decodes percent-encoding, and + as a space in a query.
func unescape(b []byte, query bool) (string, bool) {
	if bytes.IndexByte(b, '%') < 0 && (!query || bytes.IndexByte(b, '+') < 0) {
		return string(b), true
	}
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		switch {
		case b[i] == '%':
			if i+2 >= len(b) {
				return "", false
			}
			hi, lo := unhex(b[i+1]), unhex(b[i+2])
			if hi < 0 || lo < 0 {
				return "", false
			}
			out = append(out, byte(hi<<4|lo))
			i += 2
		case b[i] == '+' && query:
			out = append(out, ' ')
		default:
			out = append(out, b[i])
		}
	}
	return string(out), true
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}
