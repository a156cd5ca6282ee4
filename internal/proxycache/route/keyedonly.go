package route

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"walpurge/internal/expr"
)

// KeepKeyedCookies takes the cookies that are not in the key out of a fill on
// a declared route (C5): its response is for everybody with the same key, so
// the origin must not see who happened to ask first (G6), and gets them as the
// key has them, without blanks that are a part of the name to some.
func (rt *Route) KeepKeyedCookies(h http.Header) {
	var kept []string
	for _, line := range h["Cookie"] {
		for part := range strings.SplitSeq(line, ";") {
			name, value, _ := strings.Cut(part, "=")
			name = strings.TrimSpace(name)
			if slices.ContainsFunc(rt.Keys, func(k Key) bool { return k.Source == expr.Cookie && strings.EqualFold(k.Name, name) }) {
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

// DropOverrides takes them out of a fill on a declared route (C5), unless they
// are in its key. So it does with fields that are not in the key and that some
// servers take for one of these, or for one that is: PHP and WSGI read X_Shop
// as X-Shop.
func (rt *Route) DropOverrides(h http.Header) {
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
		taken := func(k Key) bool { return k.Source == expr.Header && strings.EqualFold(dashed(k.Name), as) }
		if slices.Contains(overrides, as) || slices.Contains(asserted, as) || slices.ContainsFunc(rt.Keys, taken) {
			delete(h, name)
		}
	}
	for _, k := range rt.Keys {
		if k.Source != expr.Header || dashed(k.Name) == textproto.CanonicalMIMEHeaderKey(k.Name) {
			continue
		}
		if as := dashed(k.Name); !rt.keyedField(as) {
			delete(h, as)
		}
	}
}

func (rt *Route) keyedField(name string) bool {
	return slices.ContainsFunc(rt.Keys, func(k Key) bool { return k.Source == expr.Header && strings.EqualFold(k.Name, name) })
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
