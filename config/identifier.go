package config

import (
	"slices"
	"strings"
)

// table reads NAME or SCHEMA.NAME. A part that holds a dot stands in double quotes, as in SQL.
func (d *decoder) table(n *node, into *Table) bool {
	text, ok := d.text(n, "table")
	if !ok {
		return false
	}
	parts, ok := splitIdentifier(text)
	if !ok || len(parts) > 2 || slices.ContainsFunc(parts, func(p string) bool { return len(p) > maxIdentifier }) {
		d.fail(n.pos, "%s is not a table's name; write NAME or SCHEMA.NAME", n.show())
		return false
	}
	if len(parts) == 1 {
		parts = []string{"public", parts[0]}
	}
	*into = Table{Schema: parts[0], Name: parts[1], Pos: n.pos}
	return true
}

// splitIdentifier splits a dotted name. It takes names as the catalogue spells them, so nothing is folded to lower case.
func splitIdentifier(text string) ([]string, bool) {
	var parts []string
	for {
		part, rest, more := "", "", false
		if quoted, ok := strings.CutPrefix(text, `"`); ok {
			end := 0
			for {
				i := strings.IndexByte(quoted[end:], '"')
				if i < 0 {
					return nil, false
				}
				end += i
				if !strings.HasPrefix(quoted[end:], `""`) {
					break
				}
				end += 2
			}
			part = strings.ReplaceAll(quoted[:end], `""`, `"`)
			rest, more = strings.CutPrefix(quoted[end+1:], ".")
			if !more && rest != "" {
				return nil, false
			}
		} else {
			part, rest, more = strings.Cut(text, ".")
			if strings.ContainsAny(part, "\"'(),; \t") {
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

func quoteIdentifier(s string) string {
	if strings.ContainsAny(s, `."`) || s == "" {
		return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
	}
	return s
}
