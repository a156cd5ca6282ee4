package upstream

import (
	"bytes"
	"net/http"
	"net/netip"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"walpurge/internal/http1"
	"walpurge/internal/rfc9111"
)

// via is how this proxy names itself in Via (RFC 9110 section 7.6.3) and
// Cache-Status (RFC 9211).
const via = "1.1 walpurge"

// hopByHop are the fields that end at the next hop (RFC 9110 section 7.6.1).
var hopByHop = http1.Of(http1.Connection, http1.KeepAlive, http1.ProxyConnection, http1.ProxyAuthorization,
	http1.TE, http1.Trailer, http1.TransferEncoding, http1.Upgrade, http1.Host, http1.ContentLength)

// tagged are the fields that name entity tags.
var tagged = http1.Of(http1.IfMatch, http1.IfNoneMatch, http1.IfRange)

// RequestHeader makes the fields that go to the origin, without those in drop.
// With strip, entity tags lose what this proxy has put behind them for a coding.
// addr is the other end of the client's connection, trusted tells that what it
// says of clients of its own is believed.
func RequestHeader(ex *http1.Exchange, drop http1.Set, strip bool, addr netip.Addr, trusted bool) http.Header {
	h := make(http.Header, len(ex.Fields)+6)
	named := ConnectionOptions(ex)
	drop |= hopByHop
	for i := range ex.Fields {
		f := &ex.Fields[i]
		if f.ID != http1.Other && drop&(1<<f.ID) != 0 {
			continue
		}
		name := canonicalName(f.Name)
		if slices.Contains(named, name) {
			continue
		}
		v := string(f.Value)
		if strip && f.ID != http1.Other && tagged&(1<<f.ID) != 0 {
			v = rfc9111.StripCodings(v)
		}
		h[name] = append(h[name], v)
	}
	if bytes.Contains(bytes.ToLower(ex.Get(http1.TE)), []byte("trailers")) {
		h["Te"] = []string{"trailers"}
	}
	if _, ok := h["User-Agent"]; !ok {
		h["User-Agent"] = []string{""} // net/http sends one of its own otherwise
	}
	h["Via"] = append(h["Via"], viaOf(ex))
	addForwarded(h, ex, addr, trusted)
	return h
}

func viaOf(ex *http1.Exchange) string { return ex.Protocol() + " walpurge" }

// canonicalName is the name as net/http spells it.
func canonicalName(name []byte) string {
	return textproto.CanonicalMIMEHeaderKey(string(name))
}

// ConnectionOptions lists the fields that Connection names.
func ConnectionOptions(ex *http1.Exchange) []string {
	if !ex.Has(http1.Of(http1.Connection)) {
		return nil
	}
	var named []string
	for i := range ex.Fields {
		if ex.Fields[i].ID == http1.Connection {
			named = append(named, rfc9111.FieldNames(string(ex.Fields[i].Value))...)
		}
	}
	return named
}

// addForwarded tells the origin who asked for what: behind a trusted proxy
// added to what that one says, else in place of what the client claims.
func addForwarded(h http.Header, ex *http1.Exchange, from netip.Addr, trusted bool) {
	if !trusted {
		delete(h, "X-Forwarded-For")
		delete(h, "X-Forwarded-Host")
		delete(h, "X-Forwarded-Proto")
		delete(h, "Forwarded")
	}
	if len(h["X-Forwarded-Host"]) == 0 {
		h["X-Forwarded-Host"] = []string{string(ex.Host)}
	}
	if len(h["X-Forwarded-Proto"]) == 0 {
		h["X-Forwarded-Proto"] = []string{scheme(ex)}
	}
	addr := "unknown"
	if from.IsValid() {
		addr = from.WithZone("").String()
	}
	h["X-Forwarded-For"] = []string{strings.Join(append(h["X-Forwarded-For"], addr), ", ")}
	h["Forwarded"] = []string{strings.Join(append(h["Forwarded"], forwardedElement(from, string(ex.Host), scheme(ex))), ", ")}
}

// forwardedElement is this hop's element of Forwarded (RFC 7239 section 4).
func forwardedElement(addr netip.Addr, host, scheme string) string {
	node := "unknown"
	switch {
	case addr.Is4():
		node = addr.String()
	case addr.Is6():
		node = `"[` + addr.WithZone("").String() + `]"`
	}
	e := "for=" + node
	if host != "" && !strings.ContainsAny(host, `"\`) {
		e += `;host="` + host + `"`
	}
	return e + ";proto=" + scheme
}

// scheme is what the client's URL begins with.
func scheme(ex *http1.Exchange) string {
	if ex.Secure {
		return "https"
	}
	return "http"
}

// responseHop are the fields of a response that end here.
var responseHop = []string{"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Content-Length"}

// ConnectionFields takes the hop-by-hop fields out of a response's header and
// those that Connection names.
func ConnectionFields(h http.Header) {
	for _, field := range []string{"Connection", NamedField} {
		for _, v := range h[field] {
			for _, name := range rfc9111.FieldNames(v) {
				delete(h, name)
			}
		}
	}
	delete(h, NamedField)
	for _, name := range responseHop {
		delete(h, name)
	}
}

// FinishHeader adds what a proxy adds: Via, and Date where the origin sends
// none (RFC 9110 section 6.6.1).
func FinishHeader(h http.Header, received time.Time) {
	h["Via"] = append(h["Via"], via)
	if len(h["Date"]) == 0 {
		h["Date"] = []string{received.UTC().Format(http.TimeFormat)}
	}
}

// ownHop are fields that end here beside those of every hop: they
// authenticate to a proxy (RFC 9111 section 3.1), or are for this cache alone.
var ownHop = []string{"Proxy-Authentication-Info", "Proxy-Authorization", rfc9111.OwnTarget}

// PassFields takes out of a response what isn't the client's.
func PassFields(h http.Header) {
	ConnectionFields(h)
	for _, name := range ownHop {
		delete(h, name)
	}
}
