package rfc9111

import "strconv"

// Forward is why a request went to the origin (RFC 9211 section 2.2).
type Forward string

// The values that occur here. NotForwarded is that it didn't.
const (
	NotForwarded Forward = ""
	FwdBypass    Forward = "bypass"
	FwdMethod    Forward = "method"
	FwdURIMiss   Forward = "uri-miss"
	FwdVaryMiss  Forward = "vary-miss"
	FwdRequest   Forward = "request"
	FwdStale     Forward = "stale"
	FwdPartial   Forward = "partial"
)

// CacheStatus is this cache's member of Cache-Status (RFC 9211 section 2).
type CacheStatus struct {
	Hit       bool    // answered by what is stored
	TTL       int64   // of a hit: what is left of its lifetime in seconds, negative once it is over
	Fwd       Forward // why the request went to the origin
	FwdStatus int     // what the origin answered; 0: nothing, or it wasn't asked
	Stored    bool    // the response of the origin was
	Collapsed bool    // the request shared another's response
	Detail    Reason  // why it is so
}

// Append appends the field with that member, and its line's end. It allocates
// only where dst has no room.
func (c *CacheStatus) Append(dst []byte) []byte {
	dst = append(dst, "Cache-Status: walpurge"...)
	if c.Hit {
		dst = append(dst, "; hit; ttl="...)
		dst = strconv.AppendInt(dst, c.TTL, 10)
	}
	if c.Fwd != NotForwarded {
		dst = append(append(dst, "; fwd="...), c.Fwd...)
	}
	if c.FwdStatus != 0 {
		dst = append(dst, "; fwd-status="...)
		dst = strconv.AppendInt(dst, int64(c.FwdStatus), 10)
	}
	if c.Stored {
		dst = append(dst, "; stored"...)
	}
	if c.Collapsed {
		dst = append(dst, "; collapsed"...)
	}
	if c.Detail != NoReason {
		dst = append(append(dst, "; detail="...), c.Detail...)
	}
	return append(dst, '\r', '\n')
}

// String is the member without the field's name.
func (c *CacheStatus) String() string {
	b := c.Append(nil)
	return string(b[len("Cache-Status: ") : len(b)-2])
}
