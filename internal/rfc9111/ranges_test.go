package rfc9111

import (
	"net/http"
	"slices"
	"testing"
)

func TestRFC9110Section14Ranges(t *testing.T) {
	for v, want := range map[string][]Range{
		"bytes=0-0": {{0, 1}}, "bytes=2-": {{2, 10}}, "bytes=-3": {{7, 10}}, "bytes=-30": {{0, 10}}, "bytes=8-30": {{8, 10}},
		"BYTES=0-1, ,4-5": {{0, 2}, {4, 6}}, "bytes=3-4,0-1": {{3, 5}, {0, 2}},
		"bytes=10-": {}, "bytes=99999999999999999999999-": {}, "bytes=-0": {}, "bytes=0-1,20-": {{0, 2}},
	} {
		if got, ok := Ranges([]byte(v), 10); !ok || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %t; want %v", v, got, ok, want)
		}
	}
	for _, v := range []string{"", "bytes", "bytes=", "bytes=,", "lines=0-1", "bytes=1", "bytes=2-1", "bytes=-", "bytes=a-", "bytes=0-b", "bytes=0-9,0-9", "bytes=0-1,x"} {
		if got, ok := Ranges([]byte(v), 10); ok {
			t.Errorf("%q: %v", v, got)
		}
	}
}

func TestRFC9110Section13_1_5IfRange(t *testing.T) {
	const tag = `"a"`
	modified, later, soon := at(0), at(2e9), at(5e8)
	for _, c := range []struct {
		v, tag, modified, date string
		applies                bool
	}{
		{tag, tag, "", "", true},
		{tag, `"b"`, "", "", false},
		{tag, "W/" + tag, "", "", false},
		{"W/" + tag, "W/" + tag, "", "", false},
		{modified, tag, modified, later, true},
		{modified, tag, modified, soon, false},
		{modified, tag, modified, "", false},
		{modified, tag, later, later, false},
		{"", "", "", "", false},
		{"x", "", "x", later, false},
	} {
		if got := IfRange(c.v, c.tag, c.modified, c.date); got != c.applies {
			t.Errorf("%+v: %t", c, got)
		}
	}
}

func TestRFC9111Section3_3PartOf(t *testing.T) {
	for _, c := range []struct {
		field  string
		length int64
		want   Part // empty: none
	}{
		{"bytes 2-4/9", 3, Part{Range{2, 5}, 9, true}},
		{"Bytes 0-8/9", 9, Part{Range{0, 9}, 9, true}},
		{"bytes 4-8/9", 3, Part{Range{4, 7}, 7, false}}, // the last part, shorter than it says
		{"bytes 2-4/9", 2, Part{}},
		{"bytes 2-4/9", 4, Part{}},
		{"bytes 2-4/*", 3, Part{}},
		{"bytes */9", 3, Part{}},
		{"bytes 4-2/9", 3, Part{}},
		{"bytes 2-9/9", 8, Part{}},
		{"lines 2-4/9", 3, Part{}},
		{"bytes 0-0/1", 0, Part{}},
	} {
		got := PartOf(http.Header{"Content-Range": {c.field}}, c.length)
		if got == nil {
			got = &Part{}
		}
		if *got != c.want {
			t.Errorf("%s of %d bytes: %+v, want %+v", c.field, c.length, *got, c.want)
		}
	}
	if p := PartOf(http.Header{"Content-Range": {"bytes 0-0/1", "bytes 0-0/1"}}, 1); p != nil {
		t.Errorf("of two fields: %+v", p)
	}
}

// FuzzRanges: whatever is asked for is inside, not empty and not more than all.
func FuzzRanges(f *testing.F) {
	for _, v := range []string{"bytes=0-1", "bytes=-5,3-", "bytes=1-2, 9-9,,-1", "bytes=99999999999999999999-", "BYTES=0-0,0-0"} {
		f.Add([]byte(v), int64(10))
	}
	f.Fuzz(func(t *testing.T, v []byte, size int64) {
		size &= 1<<55 - 1
		ranges, _ := Ranges(v, size)
		var total int64
		for _, r := range ranges {
			if total += r.To - r.From; r.From < 0 || r.From >= r.To || r.To > size {
				t.Fatalf("%q of %d: %v", v, size, ranges)
			}
		}
		if total > size || len(ranges) > MaxRanges {
			t.Fatalf("%q of %d: %v", v, size, ranges)
		}
	})
}
