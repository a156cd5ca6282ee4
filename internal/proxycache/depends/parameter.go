package depends

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"

	"walpurge/internal/http1"
)

// MaxPairs bounds the parameters of a query that is read. Services ignore, or
// refuse, what comes after their own limits, of which the smallest is 1000.
const MaxPairs = 250

// pair is one parameter of the query.
type pair struct {
	raw   []byte   // the name as sent
	name  string   // decoded once
	parts []string // see nameParts
	value string
	sure  bool // name and value were read with certainty
}

// queryValues finds the values of a parameter. Where another one appears that
// some service takes for it, or for something that it is in, there is no
// condition (docs/decisions/0010).
func (s *Subject) queryValues(name string) ([]string, bool) {
	if !s.parsed {
		s.parseQuery()
	}
	if !s.sure {
		return nil, false
	}
	var values []string
	ours := nameParts(name)
	for i := range s.pairs {
		p := &s.pairs[i]
		switch {
		case p.name == name && p.sure && (string(p.raw) == name || equalEscaped(p.raw, name)):
			values = append(values, p.value)
		case p.name == name || takenFor(p.parts, ours):
			return nil, false
		}
	}
	return values, len(values) > 0
}

// mentions tells whether the query has something that may be about a parameter.
func (s *Subject) mentions(name string) bool {
	if !s.parsed {
		s.parseQuery()
	}
	ours := nameParts(name)
	for i := range s.pairs {
		if s.pairs[i].name == name || takenFor(s.pairs[i].parts, ours) {
			return true
		}
	}
	return !s.sure
}

// equalEscaped tells whether raw is name with what has to be encoded encoded.
// Any other spelling of the name is a doubt.
func equalEscaped(raw []byte, name string) bool {
	for _, c := range []byte(name) {
		if c != '[' && c != ']' && c < utf8.RuneSelf {
			continue
		}
		v, ok := http1.Unescape(raw, true)
		return ok && v == name
	}
	return false
}

func (s *Subject) parseQuery() {
	s.parsed, s.sure = true, true
	if bytes.IndexByte(s.Query, ';') >= 0 {
		s.sure = false // some servers split there
		return
	}
	for part := range bytes.SplitSeq(s.Query, []byte{'&'}) {
		if len(part) == 0 {
			continue
		}
		k, v, _ := bytes.Cut(part, []byte{'='})
		p := pair{raw: k}
		var ok bool
		if p.name, ok = http1.Unescape(k, true); !ok || !utf8.ValidString(p.name) || len(s.pairs) == MaxPairs {
			s.sure = false
			return
		}
		p.parts = nameParts(p.name)
		p.value, p.sure = http1.Unescape(v, true)
		p.sure = p.sure && ascii(part)
		s.pairs = append(s.pairs, p)
	}
}

// ascii tells whether b is ASCII. What isn't encoded and isn't ASCII is UTF-8
// to one server, Latin-1 to another and an error to a third.
func ascii(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// nameParts cuts a name where some service sees the name of a part, at
// brackets and dots: filter[city] and filter.city are filter and city. What
// services change or leave out in between (letter case, _ and -, blanks,
// quotes) is left out, and so is an index, unless there is nothing else.
func nameParts(name string) []string {
	for range 4 { // somebody decodes it again
		again, ok := http1.Unescape([]byte(name), true)
		if !ok || again == name {
			break
		}
		name = again
	}
	name, _, _ = strings.Cut(name, "\x00")
	var parts []string
	var part strings.Builder
	indexes := 0
	end := func() {
		if part.Len() == 0 {
			return
		}
		if strings.Trim(part.String(), "0123456789") == "" {
			indexes++
		}
		parts = append(parts, part.String())
		part.Reset()
	}
	for _, r := range name {
		switch {
		case r == '[' || r == ']' || r == '.':
			end()
		case unicode.IsLetter(r) || unicode.IsNumber(r):
			part.WriteRune(unicode.ToLower(unicode.ToUpper(r)))
		}
	}
	end()
	if 0 < indexes && indexes < len(parts) {
		named := parts[:0]
		for _, p := range parts {
			if strings.Trim(p, "0123456789") != "" {
				named = append(named, p)
			}
		}
		parts = named
	}
	return parts
}

// takenFor tells whether a parameter with these parts may be taken for ours,
// for something in it (filter[city][0]) or something that it is in (filter),
// under whatever prefix (q.city).
func takenFor(parts, ours []string) bool {
	whole := strings.Join(ours, "")
	for i := range parts {
		for j := i + 1; j <= len(parts); j++ {
			if strings.Join(parts[i:j], "") == whole {
				return true
			}
		}
		rest := strings.Join(parts[i:], "")
		for k := 1; k < len(ours); k++ {
			if strings.Join(ours[:k], "") == rest {
				return true
			}
		}
	}
	return len(parts) == 0 && whole == ""
}
