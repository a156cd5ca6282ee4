package store

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"walpurge/internal/http1"
	"walpurge/internal/rfc9111"
)

// SearchRule is a rule that this process has met.
type SearchRule struct {
	rfc9111.Search
	number uint64 // its own here, part of the keys that it makes
}

// Key is the key of all requests that s takes for the same as that of key. It
// names the rule: what two rules leave of two queries may be the same, and the
// response of the one says nothing about what the other takes for the same.
func (s SearchRule) Key(key string) string {
	target, rest, _ := strings.Cut(key, "\n")
	path, query, _ := strings.Cut(target, "?")
	var pairs [][2]string
	for part := range strings.SplitSeq(query, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		if decoded, ok := http1.Unescape([]byte(name), true); ok {
			name = decoded
		}
		if decoded, ok := http1.Unescape([]byte(value), true); ok {
			value = decoded
		}
		if s.Counts(name) {
			pairs = append(pairs, [2]string{name, value})
		}
	}
	if s.Unordered {
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
	rules []SearchRule
}

// MaxSearches bounds the rules of one path.
const MaxSearches = 4

// add makes rule the newest and returns it with its number. One that isn't
// known gets the next of numbers, also if it was known before it was forgotten:
// what was kept by it then has missed the unsafe requests since, and must not
// be found again.
func (s *searches) add(rule rfc9111.Search, numbers *atomic.Uint64) SearchRule {
	s.mu.Lock()
	defer s.mu.Unlock()
	newest := SearchRule{Search: rule}
	if i := slices.IndexFunc(s.rules, func(old SearchRule) bool { return old.Equal(rule) }); i >= 0 {
		newest.number = s.rules[i].number
	} else {
		newest.number = numbers.Add(1)
	}
	kept := []SearchRule{newest}
	for _, old := range s.rules {
		if old.number != newest.number && len(kept) < MaxSearches {
			kept = append(kept, old)
		}
	}
	s.rules = kept
	return newest
}

func (s *searches) list() []SearchRule {
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

// SearchKeys lists under which other keys a response for key may lie.
func (m *Memory) SearchKeys(key string) []string {
	marker := m.Peek(searchesOf(key))
	if marker == nil || marker.searches() == nil {
		return nil
	}
	var keys []string
	for _, rule := range marker.searches().list() {
		keys = append(keys, rule.Key(key))
	}
	return keys
}
