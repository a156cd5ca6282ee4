package proxycache

import (
	"bytes"
	"crypto/rand"
	"net/http"
	"strconv"
	"strings"
	"time"

	"walpurge/internal/proxycache/http1"
)

// byteRange is a part of a body.
type byteRange struct{ from, to int64 } // to is exclusive

// maxRanges bounds the ranges of one request (RFC 9110 section 14.2).
const maxRanges = 32

// wantedRanges reads a Range field (RFC 9110 section 14.1.2) for a
// representation of that size. ok is false when the whole is to be sent. No
// ranges are left of a field that asks only for what lies beyond the end.
func wantedRanges(req *http1.Request, e *entry, size int64) (ranges []byteRange, ok bool) {
	v := req.Get(http1.Range)
	if e.status != http.StatusOK && e.part() == nil || len(v) < len("bytes=") || !http1.EqualFold(v[:len("bytes=")], "bytes=") || !ifRange(req, e) {
		return nil, false
	}
	var total int64
	n := 0
	for spec := range bytes.SplitSeq(v[len("bytes="):], []byte{','}) {
		if spec = bytes.Trim(spec, " \t"); len(spec) == 0 {
			continue // a recipient takes empty elements (section 5.6.1.2)
		}
		r, satisfiable, valid := parseRange(spec, size)
		if n++; !valid || n > maxRanges {
			return nil, false
		}
		if satisfiable {
			ranges = append(ranges, r)
			total += r.to - r.from
		}
	}
	if n == 0 || len(ranges) > 1 && total > size { // they overlap: that is no way to ask
		return nil, false
	}
	return ranges, true
}

// parseRange reads one range.
func parseRange(spec []byte, size int64) (r byteRange, satisfiable, valid bool) {
	first, last, dash := bytes.Cut(spec, []byte{'-'})
	if !dash {
		return r, false, false
	}
	from, fromOK := position(first)
	to, toOK := position(last)
	switch {
	case len(first) == 0 && toOK: // the last so many bytes
		return byteRange{max(0, size-to), size}, to > 0 && size > 0, true
	case !fromOK || len(last) > 0 && (!toOK || to < from):
		return r, false, false
	case len(last) == 0 || to >= size:
		to = size - 1
	}
	return byteRange{from, to + 1}, from < size, true
}

// position reads digits. A number beyond all sizes is one beyond the end.
func position(b []byte) (n int64, ok bool) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = min(n*10+int64(c-'0'), 1<<56)
	}
	return n, len(b) > 0
}

// ifRange tells whether If-Range lets the ranges apply (RFC 9110 section
// 13.1.5): it names a strong tag, or the very date if that is a strong
// validator (section 8.8.2.2).
func ifRange(req *http1.Request, e *entry) bool {
	v := string(req.Get(http1.IfRange))
	switch {
	case v == "":
		return !req.Has(http1.Of(http1.IfRange))
	case strings.HasPrefix(v, `"`):
		return v == e.tag()
	case isWeak(v) || v != e.modified():
		return false
	}
	modified, ok := parseDate(v)
	made, dated := parseDate(e.date())
	return ok && dated && made.Sub(modified) >= time.Second
}

// appendRanges appends the head of the answer with those ranges of e, and
// makes its body: one range as it is, several as multipart/byteranges (RFC
// 9110 section 15.3.7). offset is where in the representation the stored body
// begins, shown its head as clients get it.
func appendRanges(dst []byte, e *entry, shown []byte, ranges []byteRange, offset, size int64) (head, body []byte) {
	switch len(ranges) {
	case 0:
		return append416(dst, shown, size), nil
	case 1:
		r := ranges[0]
		dst = appendStatus(dst, http.StatusPartialContent)
		dst = appendAllBut(dst, shown, "Content-Length", "")
		dst = append(appendContentRange(dst, r, size), "Content-Length: "...)
		dst = strconv.AppendInt(dst, r.to-r.from, 10)
		return append(dst, crlf...), e.body[r.from-offset : r.to-offset]
	}
	boundary := rand.Text()
	kind := e.field("Content-Type")
	for _, r := range ranges {
		body = append(append(append(body, "\r\n--"...), boundary...), crlf...)
		if kind != "" {
			body = appendField(body, "Content-Type", kind)
		}
		body = append(appendContentRange(body, r, size), crlf...)
		body = append(body, e.body[r.from-offset:r.to-offset]...)
	}
	body = append(append(append(body, "\r\n--"...), boundary...), "--\r\n"...)
	dst = appendStatus(dst, http.StatusPartialContent)
	dst = appendAllBut(dst, shown, "Content-Length", "Content-Type")
	dst = appendField(dst, "Content-Type", "multipart/byteranges; boundary="+boundary)
	dst = append(dst, "Content-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(body)), 10)
	return append(dst, crlf...), body
}

func appendContentRange(dst []byte, r byteRange, size int64) []byte {
	dst = append(dst, "Content-Range: bytes "...)
	dst = strconv.AppendInt(dst, r.from, 10)
	dst = append(dst, '-')
	dst = strconv.AppendInt(dst, r.to-1, 10)
	dst = append(dst, '/')
	dst = strconv.AppendInt(dst, size, 10)
	return append(dst, crlf...)
}

// append416 appends the head of the answer to ranges beyond the end.
func append416(dst, shown []byte, size int64) []byte {
	dst = appendStatus(dst, http.StatusRequestedRangeNotSatisfiable)
	for name, value := range fields(shown) {
		switch string(name) {
		case "Date", "Via", "Vary":
			dst = append(append(dst, name...), ": "...)
			dst = append(append(dst, value...), crlf...)
		}
	}
	dst = append(dst, "Content-Range: bytes */"...)
	dst = strconv.AppendInt(dst, size, 10)
	return append(dst, "\r\nContent-Length: 0\r\n"...)
}

// appendAllBut appends the fields of a stored head but two.
func appendAllBut(dst, head []byte, one, two string) []byte {
	for name, value := range fields(head) {
		if string(name) != one && string(name) != two {
			dst = append(append(dst, name...), ": "...)
			dst = append(append(dst, value...), crlf...)
		}
	}
	return dst
}

// contentRange reads a Content-Range field with all its numbers (RFC 9110
// section 14.4).
func contentRange(h http.Header) (r byteRange, size int64, ok bool) {
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
	from, fromOK := position([]byte(first))
	to, toOK := position([]byte(last))
	size, sizeOK := position([]byte(whole))
	if !fromOK || !toOK || !sizeOK || to < from || size <= to {
		return r, 0, false
	}
	return byteRange{from, to + 1}, size, true
}
