package rfc9111

import (
	"net/http"
	"strings"
	"time"
)

// ParseDate reads a date in one of the three forms of RFC 9110 section 5.6.7.
// Letter case doesn't matter (RFC 9111 section 4.2) and neither does which day
// of the week it is said to be. The rest is read to the letter: net/http takes
// other zones and spaces, which nobody can rely on.
func ParseDate(s string) (time.Time, bool) {
	if len(s) < len(time.ANSIC) || len(s) > len("Wednesday, 02-Jan-06 15:04:05 GMT") {
		return time.Time{}, false
	}
	day, rest, found := strings.Cut(s, ",")
	switch {
	case !found:
		if len(s) != len(time.ANSIC) || !weekday(s[:3], 3) {
			return time.Time{}, false
		}
		return parseExactly(time.ANSIC[3:], s[3:])
	case len(day) == 3:
		if !weekday(day, 3) {
			return time.Time{}, false
		}
		return parseExactly(http.TimeFormat[len("Mon,"):], rest)
	case !weekday(day, 0):
		return time.Time{}, false
	}
	t, ok := parseExactly(" 02-Jan-06 15:04:05 GMT", rest)
	if ok && t.Year()+100 <= time.Now().Year()+50 { // two digits are never far ahead
		t = t.AddDate(100, 0, 0)
	}
	return t, ok
}

// parseExactly reads what the form would print, blind to letter case.
func parseExactly(form, s string) (time.Time, bool) {
	if strings.HasSuffix(form, "GMT") { // package time wants its zones in capitals
		zone := len(s) - len("GMT")
		if zone < 0 || !strings.EqualFold(s[zone:], "GMT") {
			return time.Time{}, false
		}
		s = s[:zone] + "GMT"
	}
	t, err := time.Parse(form, s)
	if err != nil {
		return time.Time{}, false
	}
	var room [len(" 02-Jan-06 15:04:05 GMT") + 8]byte
	return t, strings.EqualFold(string(t.AppendFormat(room[:0], form)), s)
}

// weekday tells whether s is the name of a day, cut to size letters if that
// isn't 0.
func weekday(s string, size int) bool {
	for d := time.Sunday; d <= time.Saturday; d++ {
		name := d.String()
		if size > 0 {
			name = name[:size]
		}
		if strings.EqualFold(s, name) {
			return true
		}
	}
	return false
}
