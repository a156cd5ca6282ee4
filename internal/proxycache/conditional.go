package proxycache

import (
	"bytes"
	"strconv"
	"strings"

	"walpurge/internal/proxycache/http1"
)

// conditions are the fields by which a client says what it has already.
var conditions = http1.Of(http1.IfNoneMatch, http1.IfModifiedSince)

// preconditions are those that a cache hands to the origin: they guard
// changes (RFC 9110 section 13.1).
var preconditions = http1.Of(http1.IfMatch, http1.IfUnmodifiedSince)

// notModified tells whether what the client has is what e is (RFC 9110
// section 13.2.2). If-None-Match takes the place of If-Modified-Since.
func notModified(req *http1.Request, e *entry) bool {
	if !req.Has(conditions) || e.status != 200 {
		return false
	}
	if req.Has(http1.Of(http1.IfNoneMatch)) {
		for i := range req.Fields {
			if req.Fields[i].ID == http1.IfNoneMatch && matchesAny(req.Fields[i].Value, e.etag) {
				return true
			}
		}
		return false
	}
	since, ok := parseDate(string(req.Get(http1.IfModifiedSince)))
	if !ok {
		return false
	}
	said := e.modified
	if said == "" {
		said = e.date() // RFC 9111 section 4.3.2
	}
	modified, ok := parseDate(said)
	return ok && !modified.After(since)
}

// validatable tells whether the origin can be asked if the response has changed.
func (e *entry) validatable() bool { return e.etag != "" || e.modified != "" }

// date is the response's Date.
func (e *entry) date() string {
	for name, value := range fields(e.head) {
		if string(name) == "Date" {
			return string(value)
		}
	}
	return ""
}

// matchesAny compares weakly (RFC 9110 section 8.8.3.2) with a list of
// entity tags or *.
func matchesAny(list []byte, etag string) bool {
	if string(bytes.TrimSpace(list)) == "*" {
		return true
	}
	if etag == "" {
		return false
	}
	if string(bytes.TrimSpace(list)) == etag {
		return true // one that lacks its quotes, too
	}
	etag = strings.TrimPrefix(etag, "W/")
	for len(list) > 0 {
		i := bytes.IndexByte(list, '"')
		if i < 0 {
			return false
		}
		j := bytes.IndexByte(list[i+1:], '"')
		if j < 0 {
			return false
		}
		if string(list[i:i+j+2]) == etag {
			return true
		}
		list = list[i+j+2:]
	}
	return false
}

// append304 appends the head of a 304 for e: of its fields those that tell
// the client about what it has (RFC 9110 section 15.4.5).
func append304(dst, head []byte) []byte {
	dst = appendStatus(dst, 304)
	for name, value := range fields(head) {
		switch string(name) {
		case "Cache-Control", "Content-Location", "Date", "Etag", "Expires", "Vary", "Last-Modified", "Via", "Cache-Status":
			dst = append(append(dst, name...), ": "...)
			dst = append(append(dst, value...), crlf...)
		}
	}
	return dst
}

// byteRange is a part of a body.
type byteRange struct{ from, to int64 } // to is exclusive

// wantedRange reads a Range field with one range of bytes (RFC 9110 section
// 14.1.2). ok is false when the whole is to be sent; satisfiable is false for
// a range beyond the end.
func wantedRange(req *http1.Request, e *entry, size int64) (r byteRange, ok, satisfiable bool) {
	v := req.Get(http1.Range)
	if e.status != 200 || !bytes.HasPrefix(bytes.ToLower(v), []byte("bytes=")) || !ifRange(req, e) {
		return r, false, false
	}
	v = bytes.TrimSpace(v[len("bytes="):])
	first, last, dash := bytes.Cut(v, []byte{'-'})
	if !dash || bytes.IndexByte(v, ',') >= 0 {
		return r, false, false // several ranges: the whole is allowed, too
	}
	from, errFrom := strconv.ParseInt(string(bytes.TrimSpace(first)), 10, 63)
	to, errTo := strconv.ParseInt(string(bytes.TrimSpace(last)), 10, 63)
	switch {
	case len(first) == 0 && errTo == nil: // the last so many bytes
		return byteRange{max(0, size-to), size}, true, to > 0 && size > 0
	case errFrom != nil || from < 0 || len(last) > 0 && (errTo != nil || to < from):
		return r, false, false
	case len(last) == 0 || to >= size:
		to = size - 1
	}
	return byteRange{from, to + 1}, true, from < size
}

// ifRange tells whether If-Range lets the range apply (RFC 9110 section
// 13.1.5): it names a strong tag or the very date.
func ifRange(req *http1.Request, e *entry) bool {
	v := string(req.Get(http1.IfRange))
	switch {
	case v == "":
		return !req.Has(http1.Of(http1.IfRange))
	case strings.HasPrefix(v, `"`):
		return v == e.etag
	case isWeak(v):
		return false
	}
	return v == e.modified
}

// append206 appends the head of a part of e.
func append206(dst []byte, e *entry, r byteRange, size int64) []byte {
	dst = appendStatus(dst, 206)
	dst = appendAllBut(dst, e.head, "Content-Length")
	dst = append(dst, "Content-Range: bytes "...)
	dst = strconv.AppendInt(dst, r.from, 10)
	dst = append(dst, '-')
	dst = strconv.AppendInt(dst, r.to-1, 10)
	dst = append(dst, '/')
	dst = strconv.AppendInt(dst, size, 10)
	dst = append(dst, "\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, r.to-r.from, 10)
	return append(dst, crlf...)
}

// append416 appends the head of the answer to a range beyond the end.
func append416(dst []byte, e *entry, size int64) []byte {
	dst = appendStatus(dst, 416)
	for name, value := range fields(e.head) {
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

func appendAllBut(dst, head []byte, but string) []byte {
	for name, value := range fields(head) {
		if string(name) != but {
			dst = append(append(dst, name...), ": "...)
			dst = append(append(dst, value...), crlf...)
		}
	}
	return dst
}
