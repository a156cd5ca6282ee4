package catalogue

import (
	"strings"

	"walpurge/internal/coherence"
)

// columnType is what the catalogue says about a column's type, with domains
// resolved to their base type.
type columnType struct {
	base          string // name in pg_catalog, or citext of the extension; empty for any other type
	enum          bool
	labels        []string // of an enum
	deterministic bool
	bytewise      bool   // its collation orders by bytes
	locale        string // the locale that lower and upper follow
	folded        bool   // some condition is on lower or upper of the column
	generated     bool
}

// kind is the rule by which values of t are compared: exact, or Opaque.
//
// name is Opaque although it looks like text: PostgreSQL cuts a longer operand
// to 63 bytes before it compares.
func (t *columnType) kind(exactText bool) coherence.Kind {
	if t.generated {
		// Not published before PostgreSQL 18, so changes say nothing of it.
		return coherence.Opaque
	}
	switch t.base {
	case "int2":
		return coherence.Int2
	case "int4":
		return coherence.Int4
	case "int8":
		return coherence.Integer
	case "oid":
		return coherence.OID
	case "numeric":
		return coherence.Numeric
	case "uuid":
		return coherence.UUID
	case "bool":
		return coherence.Boolean
	case "date":
		return coherence.Date
	case "timestamp":
		return coherence.Timestamp
	case "timestamptz":
		return coherence.TimestampTZ
	}
	if !exactText {
		return coherence.Opaque
	}
	switch {
	case t.enum:
		return coherence.Enum
	case !t.deterministic, dottedI(t.locale) && (t.folded || t.base == "citext"):
		return coherence.Opaque
	case t.base == "citext":
		return coherence.FoldedText
	case t.base == "bpchar":
		return coherence.PaddedText
	case t.base == "text" || t.base == "varchar":
		if t.bytewise {
			return coherence.ByteText
		}
		return coherence.Text
	}
	return coherence.Opaque
}

// dottedI tells whether a locale folds ASCII letters in its own way: Turkish
// and Azeri have an i without a dot, Lithuanian keeps the dot under accents.
func dottedI(locale string) bool {
	for _, language := range []string{"tr", "az", "lt"} {
		rest, ok := strings.CutPrefix(strings.ToLower(locale), language)
		if ok && (rest == "" || strings.ContainsAny(rest[:1], "_-.@")) {
			return true
		}
	}
	for _, language := range []string{"turkish", "azeri", "azerbaijani", "lithuanian"} {
		if strings.HasPrefix(strings.ToLower(locale), language) {
			return true
		}
	}
	return false
}

// exactText tells whether text in a database of this encoding has one
// spelling only in UTF-8, so that equal bytes mean equal text. The conversions
// of EUC_JP, GB18030 and the like map several characters to one.
func exactText(encoding string) bool {
	switch {
	case encoding == "UTF8",
		strings.HasPrefix(encoding, "LATIN"),
		strings.HasPrefix(encoding, "WIN"),
		strings.HasPrefix(encoding, "ISO_8859_"),
		strings.HasPrefix(encoding, "KOI8"):
		return true
	}
	return false
}
