package config

import (
	"strings"

	"walpurge/internal/identifier"
)

// table reads NAME or SCHEMA.NAME. A part that holds a dot stands in double quotes, as in SQL.
func (d *decoder) table(n *node, into *Table) bool {
	text, ok := d.text(n, "table")
	if !ok {
		return false
	}
	name, ok := identifier.ParseTable(text)
	switch {
	case !ok || strings.ContainsRune(text, 0):
		d.fail(n.pos, `%s is not a table's name; write NAME or SCHEMA.NAME, and a part with a dot or a blank in double quotes, as in '"a.b".c'`, n.show())
		return false
	case len(name.Schema) > identifier.MaxBytes || len(name.Name) > identifier.MaxBytes:
		d.fail(n.pos, "%s is longer than PostgreSQL's names, which have at most %d bytes; check the name in the database", n.show(), identifier.MaxBytes)
		return false
	}
	*into = Table{Schema: name.Schema, Name: name.Name, Pos: n.pos}
	return true
}

// columnName reads a column's name, which may stand in double quotes. what says where it stands.
func (d *decoder) columnName(pos Pos, text, shown string) (name string, ok bool) {
	name, ok = identifier.ParseColumn(text)
	switch {
	case strings.ContainsRune(text, 0):
		d.fail(pos, "%s holds a zero byte, which no name has; check the name in the database", shown)
		ok = false
	case !ok:
		d.fail(pos, `%s is not a column; end the double quotes that it begins with, and double those that belong to the name`, shown)
	case len(name) > identifier.MaxBytes:
		d.fail(pos, "a column's name has at most %d bytes; check the name in the database", identifier.MaxBytes)
		ok = false
	}
	return name, ok
}
