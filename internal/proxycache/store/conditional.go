package store

import (
	"bytes"

	"walpurge/internal/http1"
	"walpurge/internal/rfc9111"
)

// Had is the tag of what a client has: of the plain response, or of its form in
// a coding.
type Had struct {
	Tag    string // of the plain one, a part of the entry's text
	Coding int    // of that form; rfc9111.Identity: of the plain one
}

// NotModified tells whether what the client has is what e is (RFC 9110
// section 13.2.2), and by which tag. If-None-Match takes the place of
// If-Modified-Since. A tag with the name of a coding behind it is that of the
// same response in that coding.
func NotModified(req *http1.Request, e *Entry) (Had, bool) {
	if !req.Has(rfc9111.Conditions) || e.Status != 200 {
		return Had{}, false
	}
	plain := Had{e.Tag(), rfc9111.Identity}
	if !req.Has(http1.Of(http1.IfNoneMatch)) {
		return plain, rfc9111.NotModifiedSince(req.Get(http1.IfModifiedSince), e.Modified(), e.date())
	}
	var room [128]byte
	for i := range req.Fields {
		if req.Fields[i].ID != http1.IfNoneMatch {
			continue
		}
		for c := range rfc9111.CodingCount {
			if rfc9111.MatchesAny(req.Fields[i].Value, borrowed(rfc9111.AppendCodedTag(room[:0], plain.Tag, c))) {
				return Had{plain.Tag, c}, true
			}
			if e.coded == nil {
				break
			}
		}
	}
	return Had{}, false
}

// Validatable tells whether the origin can be asked if the response has changed.
func (e *Entry) Validatable() bool { return e.ETag() != "" || e.Modified() != "" }

// Append304 appends the head of a 304 for e: of its fields those that tell
// the client about what it has (RFC 9110 section 15.4.5).
func Append304(dst, head []byte, h Had) []byte {
	dst = http1.AppendStatus(dst, 304)
	_, lines, _ := bytes.Cut(head, http1.CRLF)
	for len(lines) > 0 {
		var name, value []byte
		name, value, lines = http1.NextField(lines)
		switch string(name) {
		case "Etag":
			dst = append(rfc9111.AppendCodedTag(append(dst, "Etag: "...), h.Tag, h.Coding), http1.CRLF...)
		case "Cache-Control", "Content-Location", "Date", "Expires", "Vary", "Last-Modified", "Via", "Cache-Status":
			dst = append(append(dst, name...), ": "...)
			dst = append(append(dst, value...), http1.CRLF...)
		}
	}
	return dst
}
