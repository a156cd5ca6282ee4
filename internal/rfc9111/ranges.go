package rfc9111

import (
	"bytes"
	"net/http"
	"strings"
	"time"

	"walpurge/internal/http1"
)

// Range is a part of a representation, in bytes from its beginning. To is
// exclusive.
type Range struct{ From, To int64 }

// MaxRanges bounds the ranges of one request (RFC 9110 section 14.2).
const MaxRanges = 32

// Ranges reads the value of a Range field (RFC 9110 section 14.1.2) for a
// representation of so many bytes, which its ranges are inside of. ok is false when the whole is to be sent. No
// ranges are left of a field that asks only for what lies beyond the end.
func Ranges(v []byte, size int64) (ranges []Range, ok bool) {
	if len(v) < len("bytes=") || !http1.EqualFold(v[:len("bytes=")], "bytes=") {
		return nil, false
	}
	var total int64
	n := 0
	for spec := range bytes.SplitSeq(v[len("bytes="):], []byte{','}) {
		if spec = bytes.Trim(spec, " \t"); len(spec) == 0 {
			continue // a recipient takes empty elements (section 5.6.1.2)
		}
		r, satisfiable, valid := parseRange(spec, size)
		if n++; !valid || n > MaxRanges {
			return nil, false
		}
		if satisfiable {
			ranges = append(ranges, r)
			total += r.To - r.From
		}
	}
	if n == 0 || len(ranges) > 1 && total > size { // they overlap: that is no way to ask
		return nil, false
	}
	return ranges, true
}

// parseRange reads one range.
func parseRange(spec []byte, size int64) (r Range, satisfiable, valid bool) {
	first, last, dash := bytes.Cut(spec, []byte{'-'})
	if !dash {
		return r, false, false
	}
	from, fromOK := Number(first)
	to, toOK := Number(last)
	switch {
	case len(first) == 0 && toOK: // the last so many bytes
		return Range{max(0, size-to), size}, to > 0 && size > 0, true
	case !fromOK || len(last) > 0 && (!toOK || to < from):
		return r, false, false
	case len(last) == 0 || to >= size:
		to = size - 1
	}
	return Range{from, to + 1}, from < size, true
}

// Number reads digits. A number beyond all sizes counts as 2^56; ok is false for
// what has none or anything else in it.
func Number(b []byte) (n int64, ok bool) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = min(n*10+int64(c-'0'), 1<<56)
	}
	return n, len(b) > 0
}

// IfRange tells whether the value of an If-Range lets the ranges of a response
// with that tag, modification and date apply (RFC 9110 section 13.1.5): it
// names a strong tag, or the very date if that is a strong validator (section
// 8.8.2.2).
func IfRange(v, tag, modified, date string) bool {
	switch {
	case strings.HasPrefix(v, `"`):
		return v == tag
	case v == "", IsWeak(v), v != modified:
		return false
	}
	at, ok := ParseDate(v)
	made, dated := ParseDate(date)
	return ok && dated && made.Sub(at) >= time.Second
}

// ContentRange reads a Content-Range field with all its numbers (RFC 9110
// section 14.4): which bytes, of how many. ok is false for any other.
func ContentRange(h http.Header) (r Range, size int64, ok bool) {
	values := h["Content-Range"]
	if len(values) != 1 {
		return r, 0, false
	}
	unit, rest, spaced := strings.Cut(values[0], " ")
	span, whole, slash := strings.Cut(rest, "/")
	first, last, dash := strings.Cut(span, "-")
	if !spaced || !slash || !dash || !strings.EqualFold(unit, "bytes") {
		return r, 0, false
	}
	from, fromOK := Number([]byte(first))
	to, toOK := Number([]byte(last))
	size, sizeOK := Number([]byte(whole))
	if !fromOK || !toOK || !sizeOK || to < from || size <= to {
		return r, 0, false
	}
	return Range{from, to + 1}, size, true
}

// Part says where in a representation the bytes of a 206 lie (RFC 9111 section
// 3.3).
type Part struct {
	Range
	Size   int64 // of the representation, in bytes
	Strict bool  // the origin's Content-Range says the same as the body's length
}

// PartOf reads what part of a representation a 206 with a body of that length
// is. Of a last part that is shorter than it says to be, the length counts: the
// origin can't mean bytes that it doesn't have. It is nil where the two don't
// fit together.
func PartOf(h http.Header, length int64) *Part {
	r, size, ok := ContentRange(h)
	switch {
	case !ok || length == 0 || length > r.To-r.From:
		return nil
	case length == r.To-r.From:
		return &Part{r, size, true}
	case r.To == size:
		return &Part{Range{r.From, r.From + length}, r.From + length, false}
	}
	return nil
}
