package proxycache

import (
	"bytes"
	"net/http"
	"strconv"
	"time"

	"walpurge/internal/coherence"
	"walpurge/internal/http1"
	"walpurge/internal/proxycache/outcome"
	"walpurge/internal/rfc9111"
	"walpurge/internal/upstream"
)

// partSuffix makes the key of a key's part. There is one, the newest, and only
// of responses without dependencies that don't vary.
const partSuffix = "\npart"

// fromPart is the answer to a request for ranges from the part that is stored.
func (x *exchange) fromPart(now coherence.Nanos) (v verdict, ok bool) {
	if x.Route.Guarded {
		return verdict{}, false
	}
	e := x.p.memory.get([]byte(x.key + partSuffix))
	if e == nil || e.route != x.Route || x.authorized && !e.shared {
		return verdict{}, false
	}
	left := e.fresh - now
	if left <= 0 || !x.wish.Admits(e.ageSpan(now), time.Duration(left)) {
		return verdict{}, false
	}
	ranges, ok := wantedRanges(x.Request, e, e.part().Size)
	if !ok || len(ranges) == 0 || x.Has(rfc9111.Conditions) {
		return verdict{}, false
	}
	for _, r := range ranges {
		if r.From < e.part().From || r.To > e.part().To {
			return verdict{}, false
		}
	}
	return fromCache(outcome.Hit, e, now, NoReason), true
}

// extent is where in the representation e's body begins, and how long that is.
func (e *entry) extent() (from, size int64) {
	if p := e.part(); p != nil {
		return p.From, p.Size
	}
	return 0, int64(len(e.body))
}

// strong tells whether the part can be combined with others (RFC 9111 section
// 3.4).
func (e *entry) strong() bool {
	if e.part() == nil || !e.part().Strict {
		return false
	}
	tag := e.etag()
	return tag != "" && !rfc9111.IsWeak(tag)
}

// beginAtPart makes a fill ask only for what follows the part that is stored.
func (f *fetch) beginAtPart() {
	if f.guarded() || f.order.authorized || !f.order.plain {
		return
	}
	e := f.fills.memory.get([]byte(f.order.primary + partSuffix))
	if e == nil || e.route != f.order.route || !e.strong() || e.part().From != 0 || e.fresh <= f.fills.now() {
		return
	}
	f.part = e
	f.header["Range"] = []string{"bytes=" + strconv.FormatInt(e.part().To, 10) + "-"}
	f.header["If-Range"] = []string{e.etag()}
}

// keepBeginning keeps what has come of a response whose end is missing, as the
// part that it is (RFC 9111 section 3.3): the next request asks for the rest.
func (f *fetch) keepBeginning(length int64, body []byte) {
	e := f.entry
	if f.guarded() || f.doomed.Load() || f.own != nil || f.order.content != nil || f.alias != "" || f.order.key != f.order.primary ||
		e.status != http.StatusOK || e.fresh <= f.fills.now() || len(e.groups()) > 0 || e.key() != f.order.primary ||
		len(body) == 0 || int64(len(body)) >= length {
		return
	}
	f.mu.Lock()
	block := f.mu.state.head
	f.mu.Unlock()
	n := shell(e)
	n.setHead(block)
	if tag := n.etag(); tag == "" || rfc9111.IsWeak(tag) {
		return
	}
	h := n.header()
	r := rfc9111.Range{To: int64(len(body))}
	n.status, n.body = http.StatusPartialContent, bytes.Clone(body)
	n.setKey(f.order.primary + partSuffix)
	n.setPart(&rfc9111.Part{Range: r, Size: length, Strict: true})
	n.setHead(http1.AppendFields(http1.AppendStatus(nil, int(n.status)), h))
	f.fills.memory.finish(n)
	f.fills.memory.put(n)
}

// continued tells whether a 206 with these fields is what follows e.
func (e *entry) continued(h http.Header) bool {
	r, size, ok := rfc9111.ContentRange(h)
	return ok && r.From == e.part().To && r.To == size && size == e.part().Size && h.Get("Etag") == e.etag()
}

// complete makes the whole of what is stored and what follows it.
func (e *entry) complete(resp *http.Response, a *rfc9111.Answer) {
	whole := e.header()
	rfc9111.Update(whole, a.Header)
	if age := a.Header["Age"]; len(age) > 0 {
		whole["Age"] = age
	}
	delete(whole, "Content-Range")
	delete(whole, "Via")
	a.Status, a.Header = http.StatusOK, whole
	resp.StatusCode, resp.Header = a.Status, a.Header
	upstream.Prefix(resp, e.body)
}

// combined is what e and a newer part make together: one part, or the whole.
// It returns nil where they can't be combined. Fields are the newer's, and e's
// where that has none.
func (e *entry) combined(newer *entry) *entry {
	if e == nil || !e.strong() || !newer.strong() || e.etag() != newer.etag() || e.part().Size != newer.part().Size ||
		e.part().To < newer.part().From || newer.part().To < e.part().From {
		return nil
	}
	from, to := min(e.part().From, newer.part().From), max(e.part().To, newer.part().To)
	body := make([]byte, to-from)
	copy(body[e.part().From-from:], e.body)
	copy(body[newer.part().From-from:], newer.body)
	h := e.header()
	rfc9111.Update(h, newer.header())
	n := shell(newer)
	n.body = body
	size := e.part().Size
	if from == 0 && to == size {
		n.setPart(nil)
		n.status = http.StatusOK
		n.setHead(http1.FinishHead(http1.AppendFields(http1.AppendStatus(nil, http.StatusOK), h), http.StatusOK, len(body)))
		return n
	}
	n.setPart(&rfc9111.Part{Range: rfc9111.Range{From: from, To: to}, Size: size, Strict: true})
	n.setHead(http1.AppendFields(http1.AppendStatus(nil, http.StatusPartialContent), h))
	return n
}

// shell is a copy of an entry without dependencies, without its bytes.
func shell(e *entry) *entry {
	n := &entry{
		memory: e.memory, route: e.route, shared: e.shared, lenient: e.lenient, status: e.status,
		received: e.received, age: e.age, fresh: e.fresh, swr: e.swr, sie: e.sie,
	}
	n.setKey(e.key())
	n.setApart(e.groups(), e.targeted(), e.asked())
	n.setPart(e.part())
	return n
}
