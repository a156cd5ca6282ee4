package proxycache

import (
	"strings"

	"walpurge/internal/proxycache/store"
	"walpurge/internal/rfc9111"
)

// inLanguage finds a stored variant in the language that the request wants
// before all others. Its Content-Language says that it is the one (RFC 9111
// section 4.1 lets a cache normalise by what a field means); what else the
// responses vary by is the same.
func (x *exchange) inLanguage(v *store.Variants, key string) (*store.Entry, string) {
	wanted, ok := rfc9111.WantedLanguage(x.Request)
	if !ok {
		return nil, key
	}
	for _, other := range v.List() {
		if !rfc9111.SameButLanguage(other, key) {
			continue
		}
		if e := x.p.memory.Peek(other); e != nil && strings.EqualFold(e.Field("Content-Language"), wanted) {
			return e, other
		}
	}
	return nil, key
}
