package rfc9111

import (
	"testing"
	"time"
)

func TestRFC9111Section4_3_2TagsOfIfNoneMatch(t *testing.T) {
	for _, c := range []struct {
		list, tag string
		want      bool
	}{
		{`"a"`, `"a"`, true},
		{`W/"a"`, `"a"`, true},
		{`"a"`, `W/"a"`, true},
		{` "b" , "a"`, `"a"`, true},
		{`"b""a"`, `"a"`, true},
		{"*", `"a"`, true},
		{" * ", "", true},
		{"a", "a", true}, // a tag that lacks its quotes
		{`"a"`, "", false},
		{`"b"`, `"a"`, false},
		{`"a`, `"a"`, false},
		{`"a,b"`, `"a"`, false},
		{"", `"a"`, false},
	} {
		if got := MatchesAny([]byte(c.list), c.tag); got != c.want {
			t.Errorf("%s and %s: %t", c.list, c.tag, got)
		}
	}
}

func TestRFC9111Section4_3_2NotModifiedSince(t *testing.T) {
	for _, c := range []struct {
		since, modified, date string
		want                  bool
	}{
		{at(0), at(0), "", true},
		{at(time.Second), at(0), at(time.Hour), true},
		{at(-time.Second), at(0), "", false},
		{at(0), "", at(0), true},
		{at(0), "", at(time.Second), false},
		{at(0), "", "", false},
		{at(0), "soon", at(0), false},
		{"soon", at(0), "", false},
	} {
		if got := NotModifiedSince([]byte(c.since), c.modified, c.date); got != c.want {
			t.Errorf("%+v: %t", c, got)
		}
	}
}

func TestRFC9111Section4_3_4Confirms(t *testing.T) {
	for _, c := range []struct {
		header         []string // of the 304
		etag, modified string
		want           bool
	}{
		{nil, `"a"`, at(0), true},
		{[]string{`Etag: "a"`}, `"a"`, "", true},
		{[]string{`Etag: "a"`}, `"b"`, "", false},
		{[]string{`Etag: W/"a"`}, `"a"`, "", true},
		{[]string{`Etag: "a"`}, `W/"a"`, "", false}, // strong: it selects by the strong tag
		{[]string{`Etag: a`}, `W/a`, "", true},      // without quotes it is neither
		{[]string{`Etag: "a"`, "Last-Modified: " + at(1e9)}, `"a"`, at(0), true},
		{[]string{"Last-Modified: " + at(0)}, `"a"`, at(0), true},
		{[]string{"Last-Modified: " + at(1e9)}, `"a"`, at(0), false},
		{[]string{"Last-Modified: " + at(0)}, `"a"`, "", true},
	} {
		if got := Confirms(parse(c.header...), c.etag, c.modified); got != c.want {
			t.Errorf("%+v: %t", c, got)
		}
	}
}

func TestRFC9111Section4_3_5Describes(t *testing.T) {
	for field, want := range map[string]bool{
		"X: y": true, `Etag: "a"`: true, `Etag: W/"a"`: false, "Last-Modified: " + at(0): true, "Last-Modified: " + at(1e9): false,
		"Content-Length: 5": true, "Content-Length: 6": false,
	} {
		if got := Describes(parse(field), `"a"`, at(0), 5); got != want {
			t.Errorf("%s: %t", field, got)
		}
	}
}

func TestRFC9111Section4_2Dates(t *testing.T) {
	want := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, s := range []string{
		"Sun, 01 Mar 2026 12:00:00 GMT", "sun, 01 mar 2026 12:00:00 gmt", "Mon, 01 Mar 2026 12:00:00 GMT",
		"Sunday, 01-Mar-26 12:00:00 GMT", "Sun Mar  1 12:00:00 2026",
	} {
		if got, ok := ParseDate(s); !ok || !got.Equal(want) {
			t.Errorf("%q: %s, %t", s, got, ok)
		}
	}
	for _, s := range []string{
		"", "0", "Sun, 1 Mar 2026 12:00:00 GMT", "Sun, 01 Mar 2026 12:00:00 UTC", "Sun, 01 Mar 2026 12:00 GMT", "Sun,  01 Mar 2026 12:00:00 GMT",
		"Som, 01 Mar 2026 12:00:00 GMT", "Sun, 01 Mar 26 12:00:00 GMT", "Sun Mar 1 12:00:00 2026", "2026-03-01T12:00:00Z", "Sun, 30 Feb 2026 12:00:00 GMT",
	} {
		if got, ok := ParseDate(s); ok {
			t.Errorf("%q: %s", s, got)
		}
	}
}
