// Package identifier writes the names of schemas, tables and columns as text,
// and reads them. A qualified name is its parts with dots between them; a part
// that holds a dot, or anything else that would be read as more than a name,
// stands in double quotes, in which a quote is doubled, as in SQL. Unlike in
// SQL nothing is folded to lower case: a name is what the catalogue has.
//
// INVARIANT: what [Table.String] writes, [ParseTable] reads back, so two tables
// are never written alike, and the text can be a key.
package identifier

import (
	"regexp"
	"strings"
	"unicode"
)

// MaxBytes is how long a name can be: NAMEDATALEN - 1.
const MaxBytes = 63

// public is the schema of a table that is named without one.
const public = "public"

// Table is a table's qualified name.
type Table struct{ Schema, Name string }

func (t Table) String() string { return Quote(t.Schema) + "." + Quote(t.Name) }

// Short is the name without the schema public.
func (t Table) Short() string {
	if t.Schema == public {
		return Quote(t.Name)
	}
	return t.String()
}

// ParseTable reads NAME, which is of the schema public, or SCHEMA.NAME. Without
// quotes a part holds nothing that looks like more than a name: what a person
// has written otherwise is likely a mistake.
func ParseTable(text string) (Table, bool) { return parse(text, `"'(),; `+"\t") }

// ParseTableLoosely is ParseTable for what a program has written: without
// quotes a part holds anything but a dot.
func ParseTableLoosely(text string) (Table, bool) { return parse(text, "") }

func parse(text, quoted string) (Table, bool) {
	parts, ok := split(text, quoted)
	switch {
	case ok && len(parts) == 1:
		return Table{public, parts[0]}, true
	case ok && len(parts) == 2:
		return Table{parts[0], parts[1]}, true
	}
	return Table{}, false
}

// Canonical is a table's name as [Table.String] writes it. What is none stays
// as it is.
func Canonical(text string) string {
	if t, ok := ParseTableLoosely(text); ok {
		return t.String()
	}
	return text
}

// ParseColumn reads a column's name. In quotes it is what they hold; without,
// the text is the name as it is, dots included.
func ParseColumn(text string) (string, bool) {
	if !strings.HasPrefix(text, `"`) {
		return text, text != ""
	}
	name, rest, ok := unquote(text)
	return name, ok && rest == "" && name != ""
}

// Quote writes one part, in quotes where it needs them.
func Quote(part string) string {
	if plain(part) {
		return part
	}
	return `"` + strings.ReplaceAll(part, `"`, `""`) + `"`
}

// InFile is a name as it is written in a YAML file: its quotes are not YAML's.
func InFile(name string) string {
	if plainInFile.MatchString(name) && !strings.EqualFold(name, "null") {
		return name
	}
	return "'" + strings.ReplaceAll(name, "'", "''") + "'"
}

var plainInFile = regexp.MustCompile(`^[\pL_][\pL\pM\pN_.$-]*$`)

// plain tells whether a part needs no quotes.
func plain(part string) bool {
	return part != "" && !strings.ContainsFunc(part, func(r rune) bool {
		return strings.ContainsRune(`."'(),;`, r) || unicode.IsSpace(r) || !unicode.IsPrint(r)
	})
}

// split takes a qualified name apart. A part without quotes holds none of the
// bytes quoted.
func split(text, quoted string) (parts []string, ok bool) {
	for {
		part, rest, more := "", "", false
		if strings.HasPrefix(text, `"`) {
			if part, rest, ok = unquote(text); !ok {
				return nil, false
			}
			if rest, more = strings.CutPrefix(rest, "."); !more && rest != "" {
				return nil, false
			}
		} else {
			part, rest, more = strings.Cut(text, ".")
			if strings.ContainsAny(part, quoted) {
				return nil, false
			}
		}
		if part == "" {
			return nil, false
		}
		parts = append(parts, part)
		if !more {
			return parts, true
		}
		text = rest
	}
}

// unquote reads what the quotes hold that text begins with, and returns what
// stands after them.
func unquote(text string) (part, rest string, ok bool) {
	end := 1
	for {
		i := strings.IndexByte(text[end:], '"')
		if i < 0 {
			return "", "", false
		}
		if end += i; !strings.HasPrefix(text[end:], `""`) {
			return strings.ReplaceAll(text[1:end], `""`, `"`), text[end+1:], true
		}
		end += 2
	}
}
