package rfc9111

// MethodQuery asks a question that is in the request's content
// (draft-ietf-httpbis-safe-method-w-body). It is safe, and its responses may be
// kept for those who ask the same.
const MethodQuery = "QUERY"

// Safe tells whether a method asks for no change (RFC 9110 section 9.2.1). One
// that isn't known may.
func Safe(method []byte) bool {
	switch string(method) {
	case "GET", "HEAD", "OPTIONS", "TRACE", MethodQuery:
		return true
	}
	return false
}
