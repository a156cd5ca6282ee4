package proxycache

import (
	"net/http"
	"strconv"
	"sync/atomic"

	"walpurge/internal/rfc9111"
)

// keeper keeps a copy of a passed response while it goes to the client, if it
// is one that may answer others: a part that somebody asked for, or a response
// to POST that says that it is what GET would give.
type keeper struct {
	x     *exchange
	mark  *flight // an unsafe request that succeeds meanwhile dooms it
	entry *entry  // nil: it isn't kept
	head  []byte
	body  []byte
	names []string // of Vary
}

// marks numbers the keepers' places in the table of flights.
var marks atomic.Uint64

// passAndKeep passes a request and keeps its response if that may be shared.
func (x *exchange) passAndKeep(o outcome, cs rfc9111.CacheStatus) {
	post := string(x.Method) == "POST"
	if x.route.guarded || post && x.route != x.p.plain || x.wish.NoStore {
		x.pass(o, cs)
		return
	}
	k := &keeper{x: x, mark: &flight{primary: x.key, key: x.key + "\nkeep " + strconv.FormatUint(marks.Add(1), 10), cancel: func(error) {}}}
	x.p.flights.put(k.mark)
	defer x.p.flights.remove(k.mark)
	x.keeper = k
	x.pass(o, cs)
}

// begin looks at the head of the response. a's header is as the origin sent
// it, without what concerns the connection.
func (k *keeper) begin(a *rfc9111.Answer, length int64) {
	if k == nil || length > k.x.p.opt.MaxObject || isStream(a.Header, length) {
		return
	}
	x := k.x
	q := x.question()
	post := string(x.Method) == "POST"
	switch {
	case post:
		// RFC 9110 section 9.3.3. An unsafe request has ended its own mark: what
		// it made is newer than itself.
		k.mark.doomed.Store(false)
		x.p.flights.put(k.mark)
		location := a.Header["Content-Location"]
		if a.Status != http.StatusOK || len(location) != 1 || x.authorized || !rfc9111.Lasting(a) {
			return
		}
		if key, ok := x.keyOf(location[0]); !ok || key != x.key {
			return
		}
	case a.Status == http.StatusPartialContent:
		q.Part = true
	case a.Status != http.StatusOK:
		return
	}
	stored := &rfc9111.Answer{Status: a.Status, Header: a.Header.Clone(), Sent: a.Sent, Received: a.Received}
	connectionFields(stored.Header)
	v := rfc9111.Judge(q, stored)
	k.names = rfc9111.VaryNames(stored.Header)
	if !v.Store || v.Lifetime <= 0 || q.Part && len(k.names) > 0 || len(rfc9111.GroupNames(stored.Header["Cache-Groups"])) > 0 {
		return
	}
	targeted := stored.Header[rfc9111.OwnTarget]
	passFields(stored.Header)
	x.p.positions.dropForeign(stored.Header)
	delete(stored.Header, "Age")
	for _, name := range v.Withheld {
		delete(stored.Header, name)
	}
	finishHeader(stored.Header, a.Received)
	e := &entry{memory: x.p.memory, route: x.route, status: uint16(a.Status), received: x.p.opt.Now()}
	e.setApart(nil, targeted, 0)
	e.judged(&v)
	switch {
	case q.Part:
		e.setKey(x.key + partSuffix)
	case len(k.names) > 0:
		e.setKey(string(rfc9111.AppendVariant([]byte(x.key), k.names, x.Request)))
	default:
		e.setKey(x.key)
	}
	k.entry, k.head = e, appendFields(appendStatus(nil, a.Status), stored.Header)
	k.body = make([]byte, 0, max(0, min(length, k.x.p.opt.MaxObject)))
}

// write takes a piece of the body.
func (k *keeper) write(p []byte) {
	if k == nil || k.entry == nil {
		return
	}
	if int64(len(k.body)+len(p)) > k.x.p.opt.MaxObject {
		k.entry, k.body = nil, nil
		return
	}
	k.body = append(k.body, p...)
}

// end stores what was kept, after the body's clean end (C4).
func (k *keeper) end() {
	if k == nil || k.entry == nil || k.mark.doomed.Load() {
		return
	}
	p, e := k.x.p, k.entry
	e.body = k.body
	if e.status == http.StatusPartialContent {
		p.keepPart(k.x.key, e, k.head)
		return
	}
	e.setHead(finishHead(k.head, int(e.status), len(e.body)))
	p.finish(e)
	p.store(k.x.key, e)
}

// keepPart stores a part, or the whole if that is what it makes with the part
// that is stored.
func (p *Proxy) keepPart(primary string, e *entry, head []byte) {
	e.setHead(head)
	h := e.header()
	part := rfc9111.PartOf(h, int64(len(e.body)))
	if part == nil {
		return
	}
	e.setPart(part)
	delete(h, "Content-Range")
	e.setHead(appendFields(appendStatus(nil, int(e.status)), h))
	old := p.memory.peek(primary + partSuffix)
	if n := old.combined(e); n != nil && int64(len(n.body)) <= p.opt.MaxObject {
		e = n
	}
	if e.part() == nil {
		e.setKey(primary)
		p.memory.take(primary + partSuffix)
	}
	p.finish(e)
	p.memory.put(e)
}

// put enters a mark into the table of flights.
func (t *flights) put(f *flight) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.byKey[f.key] = f
}
