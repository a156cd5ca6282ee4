package proxycache

import "strconv"

// forward is why a request went to the origin (RFC 9211 section 2.2).
type forward string

// The values that occur here.
const (
	notForwarded forward = ""
	fwdBypass    forward = "bypass"
	fwdMethod    forward = "method"
	fwdURIMiss   forward = "uri-miss"
	fwdVaryMiss  forward = "vary-miss"
	fwdRequest   forward = "request"
	fwdStale     forward = "stale"
	fwdPartial   forward = "partial"
)

// cacheStatus is this cache's member of Cache-Status (RFC 9211).
type cacheStatus struct {
	hit       bool
	ttl       int64 // of a hit, in seconds
	fwd       forward
	fwdStatus int
	stored    bool
	collapsed bool
	detail    Reason
}

func (c *cacheStatus) append(dst []byte) []byte {
	dst = append(dst, "Cache-Status: walpurge"...)
	if c.hit {
		dst = append(dst, "; hit; ttl="...)
		dst = strconv.AppendInt(dst, c.ttl, 10)
	}
	if c.fwd != notForwarded {
		dst = append(append(dst, "; fwd="...), c.fwd...)
	}
	if c.fwdStatus != 0 {
		dst = append(dst, "; fwd-status="...)
		dst = strconv.AppendInt(dst, int64(c.fwdStatus), 10)
	}
	if c.stored {
		dst = append(dst, "; stored"...)
	}
	if c.collapsed {
		dst = append(dst, "; collapsed"...)
	}
	if c.detail != NoReason {
		dst = append(append(dst, "; detail="...), c.detail...)
	}
	return append(dst, '\r', '\n')
}

// String is the member without the field's name.
func (c *cacheStatus) String() string {
	b := c.append(nil)
	return string(b[len("Cache-Status: ") : len(b)-2])
}
