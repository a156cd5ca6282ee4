package proxycache

import (
	"bytes"
	"net"
	"net/http"
	"net/netip"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"walpurge/internal/coherence"
	"walpurge/internal/http1"
	"walpurge/internal/rfc9111"
)

// via is how this proxy names itself in Via (RFC 9110 section 7.6.3) and
// Cache-Status (RFC 9211).
const via = "1.1 walpurge"

// peer is what is known of the other end of a client connection.
type peer struct {
	addr    netip.Addr
	trusted bool // its Forwarded and X-Forwarded-* fields are believed
}

func (p *Proxy) peer(ex *http1.Exchange) peer {
	var who peer
	if tcp, ok := ex.RemoteAddr().(*net.TCPAddr); ok {
		who.addr = tcp.AddrPort().Addr().Unmap()
	}
	who.trusted = p.trusts(who.addr)
	return who
}

func (p *Proxy) trusts(addr netip.Addr) bool {
	for _, prefix := range p.opt.Clients.TrustedProxies {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// forwarded are the fields by which proxies tell what the client asked.
var forwarded = http1.Of(http1.XForwardedHost, http1.XForwardedProto, http1.Forwarded)

// outside is the scheme and, if a trusted proxy changed it, the host that the
// client asked for. They are part of the key (C5).
func (p *Proxy) outside(ex *http1.Exchange) (https bool, host []byte) {
	if !ex.Has(forwarded) || len(p.opt.Clients.TrustedProxies) == 0 || !p.peer(ex).trusted {
		return ex.Secure, nil
	}
	if !ex.Has(http1.Of(http1.XForwardedProto)) {
		return ex.Secure, ex.Get(http1.XForwardedHost)
	}
	return http1.EqualFold(ex.Get(http1.XForwardedProto), "https"), ex.Get(http1.XForwardedHost)
}

// hopByHop are the fields that end at the next hop (RFC 9110 section 7.6.1).
var hopByHop = http1.Of(http1.Connection, http1.KeepAlive, http1.ProxyConnection, http1.ProxyAuthorization,
	http1.TE, http1.Trailer, http1.TransferEncoding, http1.Upgrade, http1.Host, http1.ContentLength)

// tagged are the fields that name entity tags.
var tagged = http1.Of(http1.IfMatch, http1.IfNoneMatch, http1.IfRange)

// fillDrops are the fields that a fill leaves out: the response is for
// everybody who asks for the same.
var fillDrops = http1.Of(http1.IfMatch, http1.IfNoneMatch, http1.IfModifiedSince, http1.IfUnmodifiedSince, http1.IfRange, http1.Range, http1.Expect)

// requestHeader makes the fields that go to the origin, without those in drop.
func (p *Proxy) requestHeader(ex *http1.Exchange, drop http1.Set) http.Header {
	h := make(http.Header, len(ex.Fields)+6)
	named := connectionOptions(ex)
	drop |= hopByHop
	if p.positions.guard != nil {
		drop |= http1.Of(http1.WalpurgePosition, http1.WalpurgeNeeds) // they are for this proxy
	}
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
		if !p.opt.NoCompress && f.ID != http1.Other && tagged&(1<<f.ID) != 0 {
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
	p.addForwarded(h, ex)
	if p.positions.guard != nil {
		tellNeeds(h, coherence.Position{}) // unless somebody knows better
	}
	return h
}

// keepKeyedCookies takes the cookies that are not in the key out of a fill on
// a declared route (C5): its response is for everybody with the same key, so
// the origin must not see who happened to ask first (G6), and gets them as the
// key has them, without blanks that are a part of the name to some.
func (rt *route) keepKeyedCookies(h http.Header) {
	var kept []string
	for _, line := range h["Cookie"] {
		for part := range strings.SplitSeq(line, ";") {
			name, value, _ := strings.Cut(part, "=")
			name = strings.TrimSpace(name)
			if slices.ContainsFunc(rt.keys, func(k Key) bool { return k.Source == Cookie && strings.EqualFold(k.Name, name) }) {
				kept = append(kept, name+"="+strings.TrimSpace(value))
			}
		}
	}
	delete(h, "Cookie")
	if len(kept) > 0 {
		h["Cookie"] = []string{strings.Join(kept, "; ")}
	}
}

// overrides are fields with which some servers let a client ask for another
// target, method or host than the request line and Host say.
var overrides = []string{
	"X-Http-Method-Override", "X-Http-Method", "X-Method-Override", "X-Original-Url", "X-Original-Uri", "X-Rewrite-Url",
	"X-Host", "X-Forwarded-Server", "X-Forwarded-Prefix", "X-Forwarded-Port", "X-Forwarded-Scheme", "X-Forwarded-Ssl",
}

// asserted are the fields with which this proxy says who asked for what.
var asserted = []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"}

// dropOverrides takes them out of a fill on a declared route (C5), unless they
// are in its key. So it does with fields that are not in the key and that some
// servers take for one of these, or for one that is: PHP and WSGI read X_Shop
// as X-Shop.
func (rt *route) dropOverrides(h http.Header) {
	for _, name := range overrides {
		if !rt.keyedField(name) {
			delete(h, name)
		}
	}
	for name := range h {
		as := dashed(name)
		if as == name || rt.keyedField(name) {
			continue
		}
		taken := func(k Key) bool { return k.Source == Header && strings.EqualFold(dashed(k.Name), as) }
		if slices.Contains(overrides, as) || slices.Contains(asserted, as) || slices.ContainsFunc(rt.keys, taken) {
			delete(h, name)
		}
	}
	for _, k := range rt.keys {
		if k.Source != Header || dashed(k.Name) == textproto.CanonicalMIMEHeaderKey(k.Name) {
			continue
		}
		if as := dashed(k.Name); !rt.keyedField(as) {
			delete(h, as)
		}
	}
}

func (rt *route) keyedField(name string) bool {
	return slices.ContainsFunc(rt.keys, func(k Key) bool { return k.Source == Header && strings.EqualFold(k.Name, name) })
}

// dashed is a field's name as servers see it that know no other sign than the
// hyphen: X-Shop for x_shop and X.Shop.
func dashed(name string) string {
	return textproto.CanonicalMIMEHeaderKey(strings.Map(func(r rune) rune {
		if 'a' <= r|0x20 && r|0x20 <= 'z' || '0' <= r && r <= '9' {
			return r
		}
		return '-'
	}, name))
}

func viaOf(ex *http1.Exchange) string { return ex.Protocol() + " walpurge" }

// canonicalName is the name as net/http spells it.
func canonicalName(name []byte) string {
	return textproto.CanonicalMIMEHeaderKey(string(name))
}

// connectionOptions lists the fields that Connection names.
func connectionOptions(ex *http1.Exchange) []string {
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
func (p *Proxy) addForwarded(h http.Header, ex *http1.Exchange) {
	who := p.peer(ex)
	if !who.trusted {
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
	if who.addr.IsValid() {
		addr = who.addr.WithZone("").String()
	}
	h["X-Forwarded-For"] = []string{strings.Join(append(h["X-Forwarded-For"], addr), ", ")}
	h["Forwarded"] = []string{strings.Join(append(h["Forwarded"], forwardedElement(who.addr, string(ex.Host), scheme(ex))), ", ")}
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

// connectionFields takes the hop-by-hop fields out of a response's header and
// those that Connection names.
func connectionFields(h http.Header) {
	for _, field := range []string{"Connection", namedField} {
		for _, v := range h[field] {
			for _, name := range rfc9111.FieldNames(v) {
				delete(h, name)
			}
		}
	}
	delete(h, namedField)
	for _, name := range responseHop {
		delete(h, name)
	}
}

// finishHeader adds what a proxy adds: Via, and Date where the origin sends
// none (RFC 9110 section 6.6.1).
func finishHeader(h http.Header, received time.Time) {
	h["Via"] = append(h["Via"], via)
	if len(h["Date"]) == 0 {
		h["Date"] = []string{received.UTC().Format(http.TimeFormat)}
	}
}
