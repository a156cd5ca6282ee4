package proxycache

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/dunglas/httpsfv"
)

// search is what No-Vary-Search says about the query
// (draft-ietf-httpbis-no-vary-search-06): which parameters tell responses
// apart, and whether their order does. The zero value is the default: all
// that is in the query counts.
type search struct {
	unordered bool     // the order of parameters with other names doesn't count
	ignored   []string // these parameters don't count, or
	only      []string // all but these don't
	all       bool
	number    uint64 // of the rule in this process, part of the keys that it makes
}

// parseSearch reads No-Vary-Search. A field that can't be read is as if it
// weren't there.
func parseSearch(h http.Header) search {
	values := h["No-Vary-Search"]
	if len(values) == 0 {
		return search{}
	}
	dict, err := httpsfv.UnmarshalDictionary(values)
	if err != nil {
		return search{}
	}
	var s search
	var ok bool
	if m, found := dict.Get("key-order"); found {
		if s.unordered, ok = boolean(m); !ok {
			return search{}
		}
	}
	if m, found := dict.Get("params"); found {
		if s.all, ok = boolean(m); !ok {
			if s.ignored, ok = names(m); !ok {
				return search{}
			}
		}
	}
	if m, found := dict.Get("except"); found {
		if s.only, ok = names(m); !ok || !s.all {
			return search{}
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

// names reads a list of strings; they are spelled as in a query.
func names(m httpsfv.Member) ([]string, bool) {
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
		if decoded, ok := unescape([]byte(name), true); ok {
			name = decoded
		}
		all = append(all, name)
	}
	return all, true
}

func (s search) trivial() bool { return !s.unordered && !s.all && len(s.ignored) == 0 }

func (s search) equal(o search) bool {
	return s.unordered == o.unordered && s.all == o.all && slices.Equal(s.ignored, o.ignored) && slices.Equal(s.only, o.only)
}

// counts tells whether a parameter tells responses apart.
func (s search) counts(name string) bool {
	if s.all {
		return slices.Contains(s.only, name)
	}
	return !slices.Contains(s.ignored, name)
}

// key is the key of all requests that s takes for the same as that of key. It
// names the rule: what two rules leave of two queries may be the same, and the
// response of the one says nothing about what the other takes for the same.
func (s search) key(key string) string {
	target, rest, _ := strings.Cut(key, "\n")
	path, query, _ := strings.Cut(target, "?")
	var pairs [][2]string
	for part := range strings.SplitSeq(query, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		if decoded, ok := unescape([]byte(name), true); ok {
			name = decoded
		}
		if decoded, ok := unescape([]byte(value), true); ok {
			value = decoded
		}
		if s.counts(name) {
			pairs = append(pairs, [2]string{name, value})
		}
	}
	if s.unordered {
		slices.SortStableFunc(pairs, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	}
	var b strings.Builder
	b.WriteString(path + "\nsearch " + strconv.FormatUint(s.number, 10))
	for _, p := range pairs {
		b.WriteString("&" + url.QueryEscape(p[0]) + "=" + url.QueryEscape(p[1]))
	}
	b.WriteString("\n" + rest)
	return b.String()
}

// searches is what a marker knows: the rules of a path's responses, the newest
// first.
type searches struct {
	mu    sync.Mutex
	rules []search
}

// maxSearches bounds the rules of one path.
const maxSearches = 4

// add makes rule the newest and returns it with its number. One that isn't
// known gets the next of numbers, also if it was known before it was forgotten:
// what was kept by it then has missed the unsafe requests since, and must not
// be found again.
func (s *searches) add(rule search, numbers *atomic.Uint64) search {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.IndexFunc(s.rules, rule.equal); i >= 0 {
		rule.number = s.rules[i].number
	} else {
		rule.number = numbers.Add(1)
	}
	kept := []search{rule}
	for _, old := range s.rules {
		if old.number != rule.number && len(kept) < maxSearches {
			kept = append(kept, old)
		}
	}
	s.rules = kept
	return rule
}

func (s *searches) list() []search {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rules
}

// searchesOf is the key of the marker of a key's path.
func searchesOf(key string) string {
	target, _, _ := strings.Cut(key, "\n")
	path, _, _ := strings.Cut(target, "?")
	return path + "\nsearches"
}

// searchKeys lists under which other keys a response for key may lie.
func (m *memory) searchKeys(key string) []string {
	marker := m.peek(searchesOf(key))
	if marker == nil || marker.searches() == nil {
		return nil
	}
	var keys []string
	for _, rule := range marker.searches().list() {
		keys = append(keys, rule.key(key))
	}
	return keys
}

// searched makes f's response one for all requests that its No-Vary-Search
// takes for the same. What depends on rows is bound to its own query.
func (f *flight) searched(h http.Header) {
	if f.guarded() || f.content != nil {
		return
	}
	rule := parseSearch(h)
	if rule.trivial() {
		return
	}
	s := f.proxy.memory.searchMarker(searchesOf(f.primary))
	if s == nil {
		return
	}
	f.alias = s.add(rule, &f.proxy.memory.rules).key(f.primary)
}
