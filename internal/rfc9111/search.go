package rfc9111

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/dunglas/httpsfv"
)

// Search is what No-Vary-Search says about the query
// (draft-ietf-httpbis-no-vary-search-06): which parameters tell responses
// apart, and whether their order does. The zero value is the default: all
// that is in the query counts.
type Search struct {
	Unordered bool     // the order of parameters with other names doesn't count
	ignored   []string // these parameters don't count, or
	only      []string // all but these don't
	all       bool
}

// ParseSearch reads No-Vary-Search. A field that can't be read is as if it
// weren't there.
func ParseSearch(h http.Header) Search {
	values := h["No-Vary-Search"]
	if len(values) == 0 {
		return Search{}
	}
	dict, err := httpsfv.UnmarshalDictionary(values)
	if err != nil {
		return Search{}
	}
	var s Search
	var ok bool
	if m, found := dict.Get("key-order"); found {
		if s.Unordered, ok = boolean(m); !ok {
			return Search{}
		}
	}
	if m, found := dict.Get("params"); found {
		if s.all, ok = boolean(m); !ok {
			if s.ignored, ok = paramNames(m); !ok {
				return Search{}
			}
		}
	}
	if m, found := dict.Get("except"); found {
		if s.only, ok = paramNames(m); !ok || !s.all {
			return Search{}
		}
	}
	return s
}

func boolean(m httpsfv.Member) (v, ok bool) {
	item, ok := m.(httpsfv.Item)
	if !ok {
		return false, false
	}
	v, ok = item.Value.(bool)
	return v, ok
}

// paramNames reads a list of strings; they are spelled as in a query.
func paramNames(m httpsfv.Member) ([]string, bool) {
	list, ok := m.(httpsfv.InnerList)
	if !ok {
		return nil, false
	}
	var all []string
	for _, item := range list.Items {
		name, ok := item.Value.(string)
		if !ok {
			return nil, false
		}
		if decoded, err := url.QueryUnescape(name); err == nil {
			name = decoded
		}
		all = append(all, name)
	}
	return all, true
}

// Trivial tells whether s is the default.
func (s Search) Trivial() bool { return !s.Unordered && !s.all && len(s.ignored) == 0 }

// Equal tells whether two fields that said s and o were the same but for the
// way that they were written.
func (s Search) Equal(o Search) bool {
	return s.Unordered == o.Unordered && s.all == o.all && slices.Equal(s.ignored, o.ignored) && slices.Equal(s.only, o.only)
}

// Counts tells whether a parameter tells responses apart.
func (s Search) Counts(name string) bool {
	if s.all {
		return slices.Contains(s.only, name)
	}
	return !slices.Contains(s.ignored, name)
}
