package coherence

import (
	"encoding/binary"
	"math"
	"strings"
	"time"
)

// canonical appends to dst a form of text such that two values of kind k are
// equal in PostgreSQL only if their forms are the same bytes. For an Ordered
// kind the forms also sort as the values do. It reports false where there is
// no exact rule for this value; such a value must count as a match (G5).
// That holds for what PostgreSQL refuses to read as the type, too: a service
// may answer such a request as if it said nothing.
func (k Kind) canonical(dst, text []byte) ([]byte, bool) {
	switch k {
	case Text, ByteText, Enum:
		return append(dst, text...), true
	case Integer:
		return canonicalInteger(dst, text, math.MinInt64, math.MaxInt64)
	case Int4:
		return canonicalInteger(dst, text, math.MinInt32, math.MaxInt32)
	case Int2:
		return canonicalInteger(dst, text, math.MinInt16, math.MaxInt16)
	case OID:
		return canonicalInteger(dst, text, 0, math.MaxUint32)
	case Numeric:
		return canonicalNumeric(dst, text)
	case UUID:
		return canonicalUUID(dst, text)
	case Boolean:
		return canonicalBoolean(dst, text)
	case Date:
		return canonicalTime(dst, text, dateLayouts)
	case Timestamp:
		return canonicalTime(dst, text, timestampLayouts)
	case TimestampTZ:
		return canonicalTime(dst, text, timestampTZLayouts)
	case PaddedText:
		for len(text) > 0 && text[len(text)-1] == ' ' {
			text = text[:len(text)-1]
		}
		return append(dst, text...), true
	case FoldedText:
		return foldASCII(dst, text, Lower)
	}
	return dst, false
}

// foldASCII appends lower(text) or upper(text). Beyond ASCII the result
// depends on the database's locale, so there is no exact rule there.
func foldASCII(dst, text []byte, fold Fold) ([]byte, bool) {
	start := len(dst)
	for _, c := range text {
		switch {
		case c >= 0x80:
			return dst[:start], false
		case fold == Lower && 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case fold == Upper && 'a' <= c && c <= 'z':
			c -= 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst, true
}

// canonicalInteger takes an optional sign and decimal digits, no more: the
// hexadecimal and underscored spellings of PostgreSQL 16 are left undecided.
// So is what the type has no room for.
func canonicalInteger(dst, text []byte, low, high int64) ([]byte, bool) {
	neg, digits := sign(text)
	if len(digits) == 0 {
		return dst, false
	}
	var v uint64
	for _, c := range digits {
		if c < '0' || c > '9' {
			return dst, false
		}
		d := uint64(c - '0')
		if v > (math.MaxUint64-d)/10 {
			return dst, false
		}
		v = v*10 + d
	}
	limit := uint64(math.MaxInt64)
	if neg {
		limit++
	}
	if v > limit {
		return dst, false
	}
	if neg {
		v = -v
	}
	if int64(v) < low || int64(v) > high {
		return dst, false
	}
	return binary.BigEndian.AppendUint64(dst, v^(1<<63)), true
}

func sign(text []byte) (neg bool, rest []byte) {
	if len(text) > 0 && (text[0] == '-' || text[0] == '+') {
		return text[0] == '-', text[1:]
	}
	return false, text
}

// canonicalNumeric writes 0.d1d2… × 10^e as a sign byte, the biased exponent
// and the digits without trailing zeros; of a negative number all bytes after
// the sign are complemented, so that the forms sort as the numbers do.
// NaN, Infinity and exponents are left undecided.
func canonicalNumeric(dst, text []byte) ([]byte, bool) {
	neg, rest := sign(text)
	var digits, exponent int // significant digits seen; digits before the point, or minus the zeros behind it
	start := len(dst)
	dst = append(dst, 0x03, 0, 0, 0, 0)
	point, any := false, false
	for _, c := range rest {
		switch {
		case c == '.' && !point:
			point = true
			continue
		case c < '0' || c > '9':
			return dst[:start], false
		}
		any = true
		switch {
		case digits == 0 && c == '0':
			if point {
				exponent--
			}
			continue
		case !point:
			exponent++
		}
		digits++
		dst = append(dst, c)
	}
	if !any {
		return dst[:start], false
	}
	for digits > 0 && dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
		digits--
	}
	if digits == 0 {
		return append(dst[:start], 0x02), true
	}
	binary.BigEndian.PutUint32(dst[start+1:], uint32(int32(exponent))^(1<<31))
	dst = append(dst, 0)
	if neg {
		dst[start] = 0x01
		for i := start + 1; i < len(dst); i++ {
			dst[i] = ^dst[i]
		}
	}
	return dst, true
}

// canonicalUUID takes what PostgreSQL does: 32 hexadecimal digits, a hyphen
// or none after each four of them but the last, braces around them or none.
func canonicalUUID(dst, text []byte) ([]byte, bool) {
	start := len(dst)
	if len(text) >= 2 && text[0] == '{' && text[len(text)-1] == '}' {
		text = text[1 : len(text)-1]
	}
	n := 0
	hyphen := false // the last byte was one
	var hi byte
	for _, c := range text {
		var d byte
		switch {
		case '0' <= c && c <= '9':
			d = c - '0'
		case 'a' <= c && c <= 'f':
			d = c - 'a' + 10
		case 'A' <= c && c <= 'F':
			d = c - 'A' + 10
		case c == '-' && !hyphen && n%4 == 0 && 0 < n && n < 32:
			hyphen = true
			continue
		default:
			return dst[:start], false
		}
		if n%2 == 0 {
			hi = d << 4
		} else {
			dst = append(dst, hi|d)
		}
		n++
		hyphen = false
	}
	if n != 32 {
		return dst[:start], false
	}
	return dst, true
}

func canonicalBoolean(dst, text []byte) ([]byte, bool) {
	var lower [5]byte
	if len(text) > len(lower) {
		return dst, false
	}
	word, ok := foldASCII(lower[:0], text, Lower)
	if !ok {
		return dst, false
	}
	switch string(word) {
	case "t", "true", "1", "on", "yes", "y":
		return append(dst, 1), true
	case "f", "false", "0", "off", "no", "n":
		return append(dst, 0), true
	}
	return dst, false
}

// The spellings of dates and times that mean the same to every reader. A
// timestamp without a time of day is left undecided: one service reads it as
// midnight, another as the whole day. One with a zone is undecided for a
// column without, and the other way round. What PostgreSQL writes with
// DateStyle ISO is among them; its infinity and BC years are undecided.
var (
	dateLayouts      = []string{"2006-01-02"}
	timestampLayouts = []string{
		"2006-01-02 15:04:05.999999", "2006-01-02T15:04:05.999999",
		"2006-01-02 15:04", "2006-01-02T15:04",
	}
	timestampTZLayouts = []string{
		"2006-01-02 15:04:05.999999-07", "2006-01-02 15:04:05.999999Z07:00", "2006-01-02T15:04:05.999999Z07:00",
		"2006-01-02 15:04:05.999999-0700", "2006-01-02T15:04:05.999999-0700", "2006-01-02T15:04:05.999999-07",
	}
)

// acceptable takes out what time.Parse reads and PostgreSQL refuses: the year
// 0, a comma before the fraction, a zone of 16 hours or with 60 minutes.
func acceptable(t time.Time, layout, s string) bool {
	_, offset := t.Zone()
	return t.Year() > 0 && !strings.Contains(s, ",") && -zoneLimit < offset && offset < zoneLimit &&
		!(strings.HasSuffix(layout, "00") && strings.HasSuffix(s, "60"))
}

// zoneLimit is in seconds.
const zoneLimit = 16 * 60 * 60

func canonicalTime(dst, text []byte, layouts []string) ([]byte, bool) {
	if len(text) > 40 {
		return dst, false
	}
	s := string(text)
	for _, layout := range layouts {
		if t, err := time.Parse(layout, s); err == nil {
			// PostgreSQL keeps microseconds and rounds the seventh digit, so a
			// finer spelling has no exact rule.
			if t.Nanosecond()%1000 != 0 || !acceptable(t, layout, s) {
				return dst, false
			}
			return binary.BigEndian.AppendUint64(dst, uint64(t.UnixMicro())^(1<<63)), true
		}
	}
	return dst, false
}
