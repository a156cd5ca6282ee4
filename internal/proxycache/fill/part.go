package fill

import (
	"bytes"
	"net/http"
	"strconv"

	"walpurge/internal/http1"
	"walpurge/internal/proxycache/store"
	"walpurge/internal/rfc9111"
	"walpurge/internal/upstream"
)

// beginAtPart makes a fill ask only for what follows the part that is stored.
func (f *fetch) beginAtPart() {
	if f.guarded() || f.Order.Authorized || !f.Order.Plain {
		return
	}
	e := f.fills.memory.Get([]byte(f.Order.Primary + store.PartSuffix))
	if e == nil || e.Route != f.Order.Route || !e.Strong() || e.Part().From != 0 || e.Fresh <= f.fills.now() {
		return
	}
	f.part = e
	f.header["Range"] = []string{"bytes=" + strconv.FormatInt(e.Part().To, 10) + "-"}
	f.header["If-Range"] = []string{e.ETag()}
}

// keepBeginning keeps what has come of a response whose end is missing, as the
// part that it is (RFC 9111 section 3.3): the next request asks for the rest.
func (f *fetch) keepBeginning(length int64, body []byte) {
	e := f.Entry
	if f.guarded() || f.doomed.Load() || f.own != nil || f.Order.Content != nil || f.alias != "" || f.Order.Key != f.Order.Primary ||
		e.Status != http.StatusOK || e.Fresh <= f.fills.now() || len(e.Groups()) > 0 || e.Key() != f.Order.Primary ||
		len(body) == 0 || int64(len(body)) >= length {
		return
	}
	f.mu.Lock()
	block := f.mu.state.Head
	f.mu.Unlock()
	n := store.Shell(e)
	n.SetHead(block)
	if tag := n.ETag(); tag == "" || rfc9111.IsWeak(tag) {
		return
	}
	h := n.Header()
	r := rfc9111.Range{To: int64(len(body))}
	n.Status, n.Body = http.StatusPartialContent, bytes.Clone(body)
	n.SetKey(f.Order.Primary + store.PartSuffix)
	n.SetPart(&rfc9111.Part{Range: r, Size: length, Strict: true})
	n.SetHead(http1.AppendFields(http1.AppendStatus(nil, int(n.Status)), h))
	f.fills.memory.Finish(n)
	f.fills.memory.Put(n)
}

// complete makes the whole of e, a part that is stored, and what follows it.
func complete(e *store.Entry, resp *http.Response, a *rfc9111.Answer) {
	whole := e.Header()
	rfc9111.Update(whole, a.Header)
	if age := a.Header["Age"]; len(age) > 0 {
		whole["Age"] = age
	}
	delete(whole, "Content-Range")
	delete(whole, "Via")
	a.Status, a.Header = http.StatusOK, whole
	resp.StatusCode, resp.Header = a.Status, a.Header
	upstream.Prefix(resp, e.Body)
}
