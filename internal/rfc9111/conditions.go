package rfc9111

import (
	"bytes"
	"strings"

	"walpurge/internal/http1"
)

// Conditions are the fields by which a client says what it has already.
var Conditions = http1.Of(http1.IfNoneMatch, http1.IfModifiedSince)

// Preconditions are the conditions that a cache hands to the origin: they guard
// changes (RFC 9110 section 13.1).
var Preconditions = http1.Of(http1.IfMatch, http1.IfUnmodifiedSince)

// MatchesAny compares an entity tag weakly (RFC 9110 section 8.8.3.2) with the
// value of an If-None-Match, which is a list of such tags or *. A response
// without a tag, "", matches * alone.
func MatchesAny(list []byte, etag string) bool {
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

// NotModifiedSince tells whether a response with that Last-Modified, or with
// that Date where it has none (RFC 9111 section 4.3.2), hasn't changed since the
// date of an If-Modified-Since. It is false where a date can't be read.
func NotModifiedSince(since []byte, modified, date string) bool {
	bound, ok := ParseDate(string(since))
	if !ok {
		return false
	}
	if modified == "" {
		modified = date
	}
	if string(since) == modified {
		return true
	}
	at, ok := ParseDate(modified)
	return ok && !at.After(bound)
}
