package proxycache

import (
	"bytes"
	"strings"

	"walpurge/internal/proxycache/http1"
)

// conditions are the fields by which a client says what it has already.
var conditions = http1.Of(http1.IfNoneMatch, http1.IfModifiedSince)

// preconditions are those that a cache hands to the origin: they guard
// changes (RFC 9110 section 13.1).
var preconditions = http1.Of(http1.IfMatch, http1.IfUnmodifiedSince)

// notModified tells whether what the client has is what e is (RFC 9110
// section 13.2.2), and by which tag. If-None-Match takes the place of
// If-Modified-Since. A tag with the name of a coding behind it is that of the
// same response in that coding.
func notModified(req *http1.Request, e *entry) (had string, ok bool) {
	if !req.Has(conditions) || e.status != 200 {
		return "", false
	}
	tag := e.tag()
	if req.Has(http1.Of(http1.IfNoneMatch)) {
		for i := range req.Fields {
			if req.Fields[i].ID != http1.IfNoneMatch {
				continue
			}
			for c := range codingCount {
				if had := codedTag(tag, c); matchesAny(req.Fields[i].Value, had) {
					return had, true
				}
				if e.coded == nil {
					break
				}
			}
		}
		return "", false
	}
	since, ok := parseDate(string(req.Get(http1.IfModifiedSince)))
	if !ok {
		return "", false
	}
	said := e.modified()
	if said == "" {
		said = e.date() // RFC 9111 section 4.3.2
	}
	modified, ok := parseDate(said)
	return tag, ok && !modified.After(since)
}

// validatable tells whether the origin can be asked if the response has changed.
func (e *entry) validatable() bool { return e.etag() != "" || e.modified() != "" }

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
// the client about what it has (RFC 9110 section 15.4.5). tag is what it has.
func append304(dst, head []byte, tag string) []byte {
	dst = appendStatus(dst, 304)
	for name, value := range fields(head) {
		switch string(name) {
		case "Etag":
			dst = appendField(dst, "Etag", tag)
		case "Cache-Control", "Content-Location", "Date", "Expires", "Vary", "Last-Modified", "Via", "Cache-Status":
			dst = append(append(dst, name...), ": "...)
			dst = append(append(dst, value...), crlf...)
		}
	}
	return dst
}
