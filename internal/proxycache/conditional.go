package proxycache

import (
	"bytes"

	"walpurge/internal/http1"
	"walpurge/internal/rfc9111"
)

// had is the tag of what a client has: of the plain response, or of its form in
// a coding.
type had struct {
	tag    string // of the plain one, a part of the entry's text
	coding int
}

// notModified tells whether what the client has is what e is (RFC 9110
// section 13.2.2), and by which tag. If-None-Match takes the place of
// If-Modified-Since. A tag with the name of a coding behind it is that of the
// same response in that coding.
func notModified(req *http1.Request, e *entry) (had, bool) {
	if !req.Has(rfc9111.Conditions) || e.status != 200 {
		return had{}, false
	}
	plain := had{e.tag(), rfc9111.Identity}
	if !req.Has(http1.Of(http1.IfNoneMatch)) {
		return plain, rfc9111.NotModifiedSince(req.Get(http1.IfModifiedSince), e.modified(), e.date())
	}
	var room [128]byte
	for i := range req.Fields {
		if req.Fields[i].ID != http1.IfNoneMatch {
			continue
		}
		for c := range rfc9111.CodingCount {
			if rfc9111.MatchesAny(req.Fields[i].Value, borrowed(rfc9111.AppendCodedTag(room[:0], plain.tag, c))) {
				return had{plain.tag, c}, true
			}
			if e.coded == nil {
				break
			}
		}
	}
	return had{}, false
}

// validatable tells whether the origin can be asked if the response has changed.
func (e *entry) validatable() bool { return e.etag() != "" || e.modified() != "" }

// append304 appends the head of a 304 for e: of its fields those that tell
// the client about what it has (RFC 9110 section 15.4.5).
func append304(dst, head []byte, h had) []byte {
	dst = http1.AppendStatus(dst, 304)
	_, lines, _ := bytes.Cut(head, http1.CRLF)
	for len(lines) > 0 {
		var name, value []byte
		name, value, lines = http1.NextField(lines)
		switch string(name) {
		case "Etag":
			dst = append(rfc9111.AppendCodedTag(append(dst, "Etag: "...), h.tag, h.coding), http1.CRLF...)
		case "Cache-Control", "Content-Location", "Date", "Expires", "Vary", "Last-Modified", "Via", "Cache-Status":
			dst = append(append(dst, name...), ": "...)
			dst = append(append(dst, value...), http1.CRLF...)
		}
	}
	return dst
}
