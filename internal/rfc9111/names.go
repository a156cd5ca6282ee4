package rfc9111

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// FieldNames splits a list of field names, as Connection and Trailer have, and
// makes them canonical.
func FieldNames(v string) []string {
	var names []string
	for name := range strings.SplitSeq(v, ",") {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, textproto.CanonicalMIMEHeaderKey(name))
		}
	}
	return names
}

// VaryNames lists the fields that Vary names, in lower case, sorted and
// without duplicates.
func VaryNames(h http.Header) []string {
	var names []string
	for _, v := range h["Vary"] {
		for name := range strings.SplitSeq(v, ",") {
			if name = strings.ToLower(strings.TrimSpace(name)); name != "" {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
