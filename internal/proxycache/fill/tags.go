package fill

import (
	"net/http"
	"slices"
	"strings"

	"walpurge/internal/http1"
	"walpurge/internal/proxycache/store"
	"walpurge/internal/rfc9111"
)

// A request that no stored variant answers names the tags of those that there
// are: the origin can say then that one of them is what this request would
// get, and sends no body (RFC 9111 section 4.3.1).
//
// It is believed only where it can be. A strong tag is that of one
// representation (RFC 9110 section 8.8.1); a weak one is often that of a record,
// in whatever form and for whomever. What varies by who asks, or is in a coding
// that the client doesn't take, is not named either: servers are known that
// give both forms one tag.

// What one request names at most. A head with more would be refused by some
// origins.
const (
	maxTags     = 16
	MaxTagBytes = 2048
)

// nameVariants makes a fill name the stored variants' tags, the newest
// variants first.
func (f *fetch) nameVariants() {
	at := strings.LastIndex(f.Order.Key, "\nvary\n")
	if at < 0 || f.part != nil {
		return
	}
	marker := f.fills.memory.Peek(f.Order.Key[:at])
	if marker == nil || marker.Variants() == nil || slices.ContainsFunc(marker.Variants().Names, personal) {
		return
	}
	var tags []string
	size := 0
	keys := marker.Variants().List()
	for i := len(keys) - 1; i >= 0 && len(tags) < maxTags; i-- {
		e := f.fills.memory.Peek(keys[i])
		if e == nil || e.Route != f.Order.Route || e.Status != http.StatusOK || !takes(f.Order.Request, e) ||
			f.Order.Authorized && !e.Shared || e.Guarded && !e.Handle.Live() {
			continue
		}
		tag := e.ETag()
		if tag == "" || rfc9111.IsWeak(tag) {
			continue
		}
		if size += len(tag) + 2; size > MaxTagBytes {
			break
		}
		f.named = append(f.named, e)
		tags = append(tags, tag)
	}
	if len(tags) > 0 {
		f.header["If-None-Match"] = []string{strings.Join(tags, ", ")}
	}
}

// personal tells whether a field, in lower case, says who asks.
func personal(name string) bool { return name == "cookie" || name == "authorization" }

// takes tells whether a client takes the coding that e is stored in.
func takes(req *http1.Request, e *store.Entry) bool {
	coding := e.Field("Content-Encoding")
	if coding == "" {
		return true
	}
	return req.Has(http1.Of(http1.AcceptEncoding)) && slices.Contains(strings.Split(rfc9111.AcceptEncoding(req).String(), ", "), strings.ToLower(coding))
}

// choose finds the variant that a 304 is about and makes it the one that the
// fill has validated (RFC 9111 section 4.3.4): the one with its tag. One
// without a tag is about the only one that was named.
func (f *fetch) choose(a *rfc9111.Answer) {
	if a.Status != http.StatusNotModified || f.stale != nil {
		return
	}
	etag := a.Header.Get("Etag")
	if etag == "" && len(f.named) > 1 {
		return
	}
	for _, e := range f.named { // the newest first
		if rfc9111.Confirms(a.Header, e.ETag(), e.Modified()) {
			f.stale, f.chosen = e, e
			return
		}
	}
}

// freshenChosen makes the variant that was chosen as new as what came of it:
// a 304 updates every stored response that it is about (RFC 9111 section
// 4.3.4). One with dependencies stays as it is, as new as its rows.
func (f *fetch) freshenChosen() {
	old, e := f.chosen, f.Entry
	if old == nil || old.Guarded || old.Key() == e.Key() || len(e.Groups()) > 0 || len(old.Groups()) > 0 {
		return
	}
	n := store.Shell(e)
	n.SetKey(old.Key())
	n.SetHead(e.Head())
	n.Body = e.Body
	f.fills.memory.Finish(n)
	if f.fills.memory.Replace(old, n) && n.Targeted() == nil {
		f.fills.redis.Write(f.Order.Primary, n, f.fills.now())
	}
}
