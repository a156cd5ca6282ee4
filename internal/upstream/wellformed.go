package upstream

import (
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"walpurge/internal/http1"
)

// WellFormed makes sure that the fields of a response are fields to everybody.
// net/http lets names with spaces through: a client that is even more lenient
// would take "Transfer-Encoding : chunked" for what it looks like. White space
// before the colon is taken away (RFC 9112 section 5.1), except from what
// frames the message: it was read without that field.
func WellFormed(h http.Header) error {
	for name, values := range h {
		if http1.IsToken([]byte(name)) {
			continue
		}
		delete(h, name)
		trimmed := textproto.CanonicalMIMEHeaderKey(strings.TrimRight(name, " \t"))
		if !http1.IsToken([]byte(trimmed)) || framing(trimmed) {
			return fmt.Errorf("read response: malformed field name %q", name)
		}
		h[trimmed] = append(h[trimmed], values...)
	}
	return nil
}

// framing tells whether a field says where its message ends or what becomes of
// the connection.
func framing(name string) bool {
	switch name {
	case "Transfer-Encoding", "Content-Length", "Connection", "Upgrade", "Trailer":
		return true
	}
	return false
}

// agreed tells whether a server that switches protocols has chosen among those
// that the request names (RFC 9110 section 7.8).
func agreed(asked, chosen []string) bool {
	offers := UpgradeNames(asked)
	chose := UpgradeNames(chosen)
	for _, c := range chose {
		if !slices.ContainsFunc(offers, func(o string) bool { return strings.EqualFold(o, c) }) {
			return false
		}
	}
	return len(chose) > 0
}

// UpgradeNames lists what Upgrade names.
func UpgradeNames(values []string) []string {
	var all []string
	for _, v := range values {
		for p := range strings.SplitSeq(v, ",") {
			if p = strings.TrimSpace(p); p != "" {
				all = append(all, p)
			}
		}
	}
	return all
}

// AroundHTTP tells whether a connection that has switched to that protocol
// would carry requests again, past this proxy.
func AroundHTTP(protocol string) bool {
	name, _, _ := strings.Cut(protocol, "/")
	return strings.EqualFold(name, "h2c") || strings.EqualFold(name, "http") || strings.EqualFold(name, "tls")
}
