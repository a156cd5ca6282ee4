package coherence

import "fmt"

// Kind is the rule by which two values of a column are compared.
type Kind uint8

// The kinds. Opaque has no exact rule: a condition on such a column is no
// condition (it matches every row).
const (
	Opaque      Kind = iota
	Integer          // bigint
	Numeric          // numeric: 1.5 equals 1.50
	UUID             // case-blind
	Boolean          // t, true, 1, on, yes and their opposites
	Date             // ISO dates
	Timestamp        // without time zone, ISO, with a time of day
	TimestampTZ      // with time zone, ISO, spelled with a zone
	Text             // byte by byte: a deterministic collation; equality only
	ByteText         // the collation "C" or "POSIX": equality and order by bytes
	PaddedText       // char(n): trailing spaces don't count; equality only
	FoldedText       // citext: case-blind; equality only, exact for ASCII
	Int2             // smallint
	Int4             // integer
	OID              // oid: from 0 to 2^32-1
	Enum             // one of Column.Labels; equality only
)

var kindNames = [...]string{
	"opaque", "integer", "numeric", "uuid", "boolean", "date", "timestamp",
	"timestamptz", "text", "bytetext", "char", "citext", "int2", "int4", "oid", "enum",
}

// String is the kind's name as scripts and messages spell it.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Ordered tells whether ranges over the kind have an exact rule.
func (k Kind) Ordered() bool {
	switch k {
	case Integer, Int2, Int4, OID, Numeric, UUID, Boolean, Date, Timestamp, TimestampTZ, ByteText:
		return true
	}
	return false
}

// Fold is a function applied to a column before it is compared.
type Fold uint8

// The folds.
const (
	NoFold Fold = iota
	Lower       // lower(column)
	Upper       // upper(column)
)

// String is the fold as SQL spells it, empty for NoFold.
func (f Fold) String() string {
	switch f {
	case Lower:
		return "lower"
	case Upper:
		return "upper"
	}
	return ""
}
