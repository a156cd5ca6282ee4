package proxycache

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"time"

	"walpurge/internal/coherence"
)

// part says where in a representation a stored body lies (RFC 9111 section
// 3.3).
type part struct {
	byteRange
	size   int64 // of the representation
	strict bool  // the origin's Content-Range says the same as the body's length
}

// partSuffix makes the key of a key's part. There is one, the newest, and only
// of responses without dependencies that don't vary.
const partSuffix = "\npart"

// partOf reads what part of a representation a 206 with a body of that length
// is. Of a last part that is shorter than it says to be, the length counts: the
// origin can't mean bytes that it doesn't have.
func partOf(h http.Header, length int64) *part {
	r, size, ok := contentRange(h)
	switch {
	case !ok || length == 0 || length > r.to-r.from:
		return nil
	case length == r.to-r.from:
		return &part{r, size, true}
	case r.to == size:
		return &part{byteRange{r.from, r.from + length}, r.from + length, false}
	}
	return nil
}

// fromPart answers a request for ranges from the part that is stored.
func (x *exchange) fromPart(now coherence.Nanos) bool {
	if x.route.guarded {
		return false
	}
	e := x.p.memory.get([]byte(x.key + partSuffix))
	if e == nil || e.route != x.route || x.authorized && !e.shared {
		return false
	}
	left := e.fresh - now
	if left <= 0 || !x.wish.admits(e.ageSpan(now), time.Duration(left)) {
		return false
	}
	ranges, ok := wantedRanges(x.Request, e, e.part().size)
	if !ok || len(ranges) == 0 || x.Has(conditions) {
		return false
	}
	for _, r := range ranges {
		if r.from < e.part().from || r.to > e.part().to {
			return false
		}
	}
	cs := cacheStatus{hit: true, ttl: e.ttlAt(now)}
	b, body := appendRanges(x.Buffer(), e, e.sent(), ranges, e.part().from, e.part().size)
	b = x.p.appendTiming(cs.append(appendAge(b, e.ageAt(now))), &cs, e, now)
	_ = x.Send(b, body)
	x.done(hit, NoReason)
	return true
}

// strong tells whether the part can be combined with others (RFC 9111 section
// 3.4).
func (e *entry) strong() bool {
	if e.part() == nil || !e.part().strict {
		return false
	}
	tag := e.etag()
	return tag != "" && !isWeak(tag)
}

// beginAtPart makes a flight ask only for what follows the part that is stored.
func (f *flight) beginAtPart(x *exchange) {
	if f.guarded() || x.authorized || !x.wish.plain() {
		return
	}
	e := f.proxy.memory.get([]byte(x.key + partSuffix))
	if e == nil || e.route != x.route || !e.strong() || e.part().from != 0 || e.fresh <= f.proxy.opt.Now() {
		return
	}
	f.part = e
	f.header["Range"] = []string{"bytes=" + strconv.FormatInt(e.part().to, 10) + "-"}
	f.header["If-Range"] = []string{e.etag()}
}

// keepBeginning keeps what has come of a response whose end is missing, as the
// part that it is (RFC 9111 section 3.3): the next request asks for the rest.
func (f *flight) keepBeginning(length int64, body []byte) {
	e := f.entry
	if f.guarded() || f.doomed.Load() || f.own != nil || f.content != nil || f.alias != "" || f.key != f.primary ||
		e.status != http.StatusOK || e.fresh <= f.proxy.opt.Now() || len(e.groups()) > 0 || e.key() != f.primary ||
		len(body) == 0 || int64(len(body)) >= length {
		return
	}
	f.mu.Lock()
	block := f.state.head
	f.mu.Unlock()
	n := shell(e)
	n.setHead(block)
	if tag := n.etag(); tag == "" || isWeak(tag) {
		return
	}
	h := n.header()
	r := byteRange{0, int64(len(body))}
	n.status, n.body = http.StatusPartialContent, bytes.Clone(body)
	n.setKey(f.primary + partSuffix)
	n.setPart(&part{r, length, true})
	n.setHead(appendFields(appendStatus(nil, int(n.status)), h))
	f.proxy.finish(n)
	f.proxy.memory.put(n)
}

// continued tells whether a 206 with these fields is what follows e.
func (e *entry) continued(h http.Header) bool {
	r, size, ok := contentRange(h)
	return ok && r.from == e.part().to && r.to == size && size == e.part().size && h.Get("Etag") == e.etag()
}

// complete makes the whole of what is stored and what follows it.
func (e *entry) complete(resp *http.Response, a *answer) {
	whole := e.header()
	update(whole, a.header)
	if age := a.header["Age"]; len(age) > 0 {
		whole["Age"] = age
	}
	delete(whole, "Content-Range")
	delete(whole, "Via")
	a.status, a.header = http.StatusOK, whole
	resp.StatusCode, resp.Header = a.status, a.header
	if resp.ContentLength >= 0 {
		resp.ContentLength += int64(len(e.body))
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(e.body), resp.Body), resp.Body}
}

// combined is what e and a newer part make together: one part, or the whole.
// It returns nil where they can't be combined. Fields are the newer's, and e's
// where that has none.
func (e *entry) combined(newer *entry) *entry {
	if e == nil || !e.strong() || !newer.strong() || e.etag() != newer.etag() || e.part().size != newer.part().size ||
		e.part().to < newer.part().from || newer.part().to < e.part().from {
		return nil
	}
	from, to := min(e.part().from, newer.part().from), max(e.part().to, newer.part().to)
	body := make([]byte, to-from)
	copy(body[e.part().from-from:], e.body)
	copy(body[newer.part().from-from:], newer.body)
	h := e.header()
	update(h, newer.header())
	n := shell(newer)
	n.body = body
	size := e.part().size
	if from == 0 && to == size {
		n.setPart(nil)
		n.status = http.StatusOK
		n.setHead(finishHead(appendFields(appendStatus(nil, http.StatusOK), h), http.StatusOK, len(body)))
		return n
	}
	n.setPart(&part{byteRange{from, to}, size, true})
	n.setHead(appendFields(appendStatus(nil, http.StatusPartialContent), h))
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
