package proxycache

import (
	"net/http"
	"strconv"
	"sync/atomic"
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
func (x *exchange) passAndKeep(o outcome, cs cacheStatus) {
	post := string(x.Method) == "POST"
	if x.route.guarded || post && x.route != x.p.plain || x.wish.noStore {
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
func (k *keeper) begin(a *answer, length int64) {
	if k == nil || length > k.x.p.opt.MaxObject {
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
		location := a.header["Content-Location"]
		if a.status != http.StatusOK || len(location) != 1 || x.authorized || !lasting(a) {
			return
		}
		if key, ok := x.keyOf(location[0]); !ok || key != x.key {
			return
		}
	case a.status == http.StatusPartialContent:
		q.part = true
	case a.status != http.StatusOK:
		return
	}
	stored := &answer{status: a.status, header: a.header.Clone(), sent: a.sent, received: a.received}
	connectionFields(stored.header)
	v := judge(q, stored)
	k.names = varyNames(stored.header)
	if !v.store || v.lifetime <= 0 || q.part && len(k.names) > 0 || len(groupNames(stored.header["Cache-Groups"])) > 0 {
		return
	}
	targeted := stored.header[ownTarget]
	passFields(stored.header)
	x.p.positions.dropForeign(stored.header)
	delete(stored.header, "Age")
	for _, name := range v.withheld {
		delete(stored.header, name)
	}
	finishHeader(stored.header, a.received)
	e := &entry{memory: x.p.memory, route: x.route, status: uint16(a.status), received: x.p.opt.Now()}
	e.setApart(nil, targeted, 0)
	e.judged(&v)
	switch {
	case q.part:
		e.setKey(x.key + partSuffix)
	case len(k.names) > 0:
		e.setKey(string(appendVariant([]byte(x.key), k.names, x.Request)))
	default:
		e.setKey(x.key)
	}
	k.entry, k.head = e, appendFields(appendStatus(nil, a.status), stored.header)
	k.body = make([]byte, 0, max(0, min(length, k.x.p.opt.MaxObject)))
}

// lasting tells whether a response says itself how long it is fresh.
func lasting(a *answer) bool {
	cc, targeted := policyOf(a.header)
	return cc.maxAge.given || cc.sMaxAge.given || !targeted && len(a.header["Expires"]) > 0
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
	part := partOf(h, int64(len(e.body)))
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
