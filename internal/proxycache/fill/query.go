package fill

import (
	"net/http"

	"walpurge/internal/proxycache/store"
	"walpurge/internal/rfc9111"
)

// listQuestion notes that the flight's response answers a question about its
// target.
func (f *fetch) listQuestion() {
	m := f.fills.memory
	v := m.Marker(f.Order.Base+store.QuerySuffix, []string{rfc9111.MethodQuery})
	if evict := v.Add(f.Order.Primary); evict != "" {
		m.Remove(evict)
	}
}

// method is the flight's request method.
func (f *fetch) method() string {
	if f.Order.Content != nil {
		return rfc9111.MethodQuery
	}
	return http.MethodGet
}
