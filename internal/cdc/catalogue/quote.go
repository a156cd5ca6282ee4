package catalogue

import (
	"regexp"
	"strings"
)

// plainName needs no quotes in SQL unless it is a key word.
var plainName = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

// reservedWords can't name a table or a role without quotes:
// https://www.postgresql.org/docs/current/sql-keywords-appendix.html.
const reservedWords = ` all analyse analyze and any array as asc asymmetric authorization binary both case cast check collate
 collation column concurrently constraint create cross current_catalog current_date current_role current_schema current_time
 current_timestamp current_user default deferrable desc distinct do else end except false fetch for foreign freeze from full
 grant group having ilike in initially inner intersect into is isnull join lateral leading left like limit localtime
 localtimestamp natural not notnull null offset on only or order outer overlaps placing primary references returning right
 select session_user similar some symmetric system_user table tablesample then to trailing true union unique user using
 variadic verbose when where window with `

// quoteName writes an identifier for SQL, quoted where it has to be.
func quoteName(name string) string {
	if plainName.MatchString(name) && !strings.Contains(reservedWords, " "+name+" ") && !strings.Contains(reservedWords, " "+name+"\n") {
		return name
	}
	return quoteAlways(name)
}

// quoteAlways writes a name that may be no keyword, wherever it stands.
func quoteAlways(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// quoteTable writes a qualified name for SQL.
func quoteTable(schema, table string) string { return quoteName(schema) + "." + quoteName(table) }

// QuoteText writes a string for SQL, where standard_conforming_strings is on.
func QuoteText(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
