package coherence

import (
	"slices"
	"strconv"
	"strings"
)

// Readings are the values that services make of what a client says for a
// column, spelled as PostgreSQL reads them: nearly always the one that is said.
// ok is false for a spelling that some service reads as another value or takes
// for none; it is no condition (G5). docs/decisions/0010 has who reads what.
//
// It is for what comes with a request. A constant of the configuration, or what
// a service itself says, means what PostgreSQL reads.
func (c *Column) Readings(said string) (values []string, ok bool) {
	if _, ok := c.Kind.canonical(nil, []byte(said)); !ok {
		return nil, false
	}
	one := []string{said}
	switch c.Kind {
	case Text, ByteText, PaddedText, FoldedText:
		return one, !saysNothing(said)
	case Enum:
		return one, slices.Contains(c.Labels, said) && !saysNothing(said)
	case Integer, Int2, Int4, OID:
		if !plainNumber(said) {
			return nil, false
		}
		return append(one, asFloat(said)...), true
	case Numeric:
		return one, plainNumber(said) && len(strings.Trim(said, "-0.")) <= maxDigits
	case Boolean:
		return one, said == "true" || said == "false"
	case UUID:
		return one, len(said) == 36 && said[8] == '-' && said[13] == '-' && said[18] == '-' && said[23] == '-'
	case Date:
		return one, said >= gregorian
	case Timestamp, TimestampTZ:
		return readTime(said, c.Kind == TimestampTZ)
	}
	return nil, false
}

// Textual tells whether the column's values are text to a service.
func (c *Column) Textual() bool {
	switch c.Kind {
	case Text, ByteText, PaddedText, FoldedText, Enum:
		return true
	}
	return false
}

// saysNothing tells whether a text is how some language prints that there is
// no value. Services that are handed it treat it so.
func saysNothing(said string) bool {
	switch strings.ToLower(said) {
	case "null", "undefined", "none", "nil", "nan", "infinity", "-infinity", "[object object]":
		return true
	}
	return false
}

// maxDigits is how many decimal digits any double keeps. (With the point and
// zeros in between, a number has fewer than it has bytes.)
const maxDigits = 15

// plainNumber tells whether a number is spelled as all languages print it:
// without +, zeros in front, exponent, separators, or a bare point. 010 is
// eight to some.
func plainNumber(said string) bool {
	digits := strings.TrimPrefix(said, "-")
	whole, fraction, pointed := strings.Cut(digits, ".")
	if strings.Trim(digits, "0.") == "" && digits != said {
		return false // -0
	}
	return whole != "" && whole[0] != '+' && (whole[0] != '0' || whole == "0") && (!pointed || fraction != "")
}

// asFloat is what a service makes of an integer that reads it as a double:
// JavaScript prints the fewest digits that name it, others all of it.
func asFloat(said string) []string {
	const exact = 1 << 53
	n, err := strconv.ParseInt(said, 10, 64)
	if err != nil || -exact <= n && n <= exact {
		return nil
	}
	f := float64(n)
	return []string{strconv.FormatFloat(f, 'f', -1, 64), strconv.FormatFloat(f, 'f', 0, 64)}
}

// gregorian is where every language's calendar is the Gregorian one.
const gregorian = "1582-10-15"

// readTime takes ISO 8601 with a T and, where there is one, a zone of hours
// and minutes. Some read no more than milliseconds.
func readTime(said string, zoned bool) ([]string, bool) {
	if said < gregorian || said[10] != 'T' {
		return nil, false
	}
	clock, zone := said, ""
	if zoned {
		at := strings.LastIndexAny(said, "Z+-")
		clock, zone = said[:at], said[at:]
		if zone != "Z" && (len(zone) != len("+00:00") || zone[3] != ':' || zone[1:] > "14:00" || zone == "-00:00") {
			return nil, false
		}
	}
	values := []string{said}
	if whole, fraction, ok := strings.Cut(clock, "."); ok && len(fraction) > 3 {
		values = append(values, whole+"."+fraction[:3]+zone)
	}
	return values, true
}
