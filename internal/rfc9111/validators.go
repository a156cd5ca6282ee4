package rfc9111

import (
	"net/http"
	"strconv"
	"strings"
)

// IsWeak tells whether an entity tag is weak (RFC 9110 section 8.8.3).
func IsWeak(etag string) bool { return strings.HasPrefix(etag, "W/") }

// Confirms tells whether a 304 with the fields of h is about the response with
// these validators, "" for one that it hasn't (RFC 9111 section 4.3.4): a
// validator of the 304's must be the response's. One without any answers the
// validators that were sent.
func Confirms(h http.Header, etag, modified string) bool {
	if said := h.Get("Etag"); said != "" {
		if IsWeak(said) || IsWeak(etag) && !strings.HasPrefix(said, `"`) {
			return strings.TrimPrefix(said, "W/") == strings.TrimPrefix(etag, "W/")
		}
		return said == etag
	}
	said := h.Get("Last-Modified")
	return said == "" || modified == "" || said == modified
}

// Update replaces stored fields by those of a newer response about the same
// (RFC 9111 section 3.2). What describes the stored bytes stays as it is. The
// age is the newer response's.
func Update(stored, newer http.Header) {
	delete(stored, "Age")
	for name, values := range newer {
		switch name {
		case "Content-Length", "Content-Encoding", "Content-Range", "Via":
		default:
			stored[name] = values
		}
	}
}

// Describes tells whether the fields of an answer to HEAD can be those of the
// response with these validators and so many bytes (RFC 9111 section 4.3.5).
func Describes(h http.Header, etag, modified string, length int) bool {
	if said := h.Get("Etag"); said != "" && said != etag {
		return false
	}
	if said := h.Get("Last-Modified"); said != "" && said != modified {
		return false
	}
	said := h.Get("Content-Length")
	return said == "" || said == strconv.Itoa(length)
}
