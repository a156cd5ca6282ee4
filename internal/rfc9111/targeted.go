package rfc9111

import (
	"net/http"

	"github.com/dunglas/httpsfv"
)

// targets are the fields whose directives are for caches like this one, the
// closest first (RFC 9213 section 2.2).
var targets = []string{OwnTarget, "Cdn-Cache-Control"}

// OwnTarget is the targeted field for this cache alone: it is never passed on.
const OwnTarget = "Walpurge-Cache-Control"

// policyOf reads what the origin tells this cache: the closest targeted field
// that is valid and not empty, else Cache-Control. Where targeted is true,
// Cache-Control and Expires say nothing to this cache (RFC 9213 section 2.1).
func policyOf(h http.Header) (d directives, targeted bool) {
	for _, name := range targets {
		if d, ok := parseTargeted(h[name]); ok {
			return d, true
		}
	}
	return parseDirectives(h["Cache-Control"]...), false
}

// parseTargeted reads a targeted field. ok is false for one that is absent,
// empty or no dictionary, which is then as if it weren't there.
func parseTargeted(values []string) (d directives, ok bool) {
	if len(values) == 0 {
		return d, false
	}
	dict, err := httpsfv.UnmarshalDictionary(values)
	if err != nil || len(dict.Names()) == 0 {
		return d, false
	}
	for _, name := range dict.Names() {
		member, _ := dict.Get(name)
		d.addTyped(directiveOf(name), member)
	}
	return d, true
}

// addTyped takes a directive whose value has a type. One of the wrong type is
// skipped if that keeps less: a lifetime that can't be read is none, and a
// prohibition holds however it is spelled.
func (d *directives) addTyped(n directive, member httpsfv.Member) {
	item, ok := member.(httpsfv.Item)
	if !ok {
		d.addUnreadable(n)
		return
	}
	switch v := item.Value.(type) {
	case bool:
		if v {
			d.add(n, "")
		}
	case int64:
		d.addSeconds(n, v)
	default:
		d.addUnreadable(n)
	}
}

func (d *directives) addUnreadable(n directive) {
	if n != public && n != mustUnderstand && d.lifetime(n) == nil {
		d.add(n, "")
	}
}

func (d *directives) addSeconds(n directive, seconds int64) {
	lifetime := d.lifetime(n)
	if lifetime == nil || seconds < 0 {
		d.addUnreadable(n)
		return
	}
	*lifetime = delta{min(seconds, MaxDelta), true}
}
