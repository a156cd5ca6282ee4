package conninfo

import "strings"

const blanks = " \t\n\r\v\f"

// readPairs reads NAME=VALUE pairs by libpq's rules (PostgreSQL documentation, 34.1.1.1): blanks may stand around the
// equals sign, a value with blanks stands in single quotes, and a backslash takes the character behind it as it is.
func (i *Info) readPairs(text string) *Error {
	nth := 0
	for rest := strings.TrimLeft(text, blanks); rest != ""; rest = strings.TrimLeft(rest, blanks) {
		nth++
		name, after, ok := strings.Cut(rest, "=")
		name = strings.TrimRight(name, blanks)
		if !ok || name == "" || strings.ContainsAny(name, blanks) {
			return wrong("is not NAME=VALUE from pair number " + ordinal(nth) + " on; put a value that holds blanks in single quotes")
		}
		value, left, closed := cutValue(strings.TrimLeft(after, blanks))
		if !closed {
			return wrong("has a single quote that is not closed, in pair number " + ordinal(nth) + `; write \' for a quote within the value and \\ for a backslash`)
		}
		if rest = left; name == "user" && value == "" {
			continue // as if it weren't there
		}
		if err := i.set(name, value, nth); err != nil {
			return err
		}
	}
	return nil
}

// cutValue reads the value that s begins with.
func cutValue(s string) (value, rest string, closed bool) {
	quoted := strings.HasPrefix(s, "'")
	if quoted {
		s = s[1:]
	}
	var b strings.Builder
	for at := 0; at < len(s); at++ {
		switch c := s[at]; {
		case c == '\\':
			if at++; at < len(s) {
				b.WriteByte(s[at])
			}
		case quoted && c == '\'':
			return b.String(), s[at+1:], true
		case !quoted && strings.IndexByte(blanks, c) >= 0:
			return b.String(), s[at:], true
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), "", !quoted
}
