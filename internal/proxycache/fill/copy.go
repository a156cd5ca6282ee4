package fill

import (
	"net/http"
	"strconv"
	"sync/atomic"

	"walpurge/internal/http1"
	"walpurge/internal/proxycache/store"
	"walpurge/internal/rfc9111"
	"walpurge/internal/upstream"
)

// Copy keeps a copy of a passed response while it goes to the client, if it is
// one that may answer others: a part that somebody asked for, or a response to
// POST that says that it is what GET would give. A nil Copy keeps nothing.
type Copy struct {
	fills *Fills
	order Order
	own   func(reference string) bool // whether a reference names the order's target
	mark  *Flight                     // an unsafe request that succeeds meanwhile dooms it
	entry *store.Entry                // nil: it isn't kept
	head  []byte
	body  []byte
	names []string // of Vary
}

// marks numbers the copies' places in the table of flights.
var marks atomic.Uint64

// CopyOf makes a copy of the response to the order's request, which somebody
// else passes on, and has close called at the end.
func (t *Fills) CopyOf(o Order, own func(reference string) bool) *Copy {
	mark := Order{Primary: o.Primary, Key: o.Primary + "\nkeep " + strconv.FormatUint(marks.Add(1), 10)}
	k := &Copy{fills: t, order: o, own: own, mark: &Flight{Order: mark, cancel: func(error) {}}}
	t.Flights.put(k.mark)
	return k
}

// Close ends the copy's place in the table of flights.
func (k *Copy) Close() { k.fills.Flights.remove(k.mark) }

// Begin looks at the head of the response. a's header is as the origin sent
// it, without what concerns the connection.
func (k *Copy) Begin(a *rfc9111.Answer, length int64) {
	if k == nil || length > k.fills.maxObject || isStream(a.Header, length) {
		return
	}
	t, o := k.fills, &k.order
	q := o.Question
	post := string(o.Request.Method) == "POST"
	switch {
	case post:
		// RFC 9110 section 9.3.3. An unsafe request has ended its own mark: what
		// it made is newer than itself.
		k.mark.doomed.Store(false)
		t.Flights.put(k.mark)
		location := a.Header["Content-Location"]
		if a.Status != http.StatusOK || len(location) != 1 || o.Authorized || !rfc9111.Lasting(a) {
			return
		}
		if !k.own(location[0]) {
			return
		}
	case a.Status == http.StatusPartialContent:
		q.Part = true
	case a.Status != http.StatusOK:
		return
	}
	stored := &rfc9111.Answer{Status: a.Status, Header: a.Header.Clone(), Sent: a.Sent, Received: a.Received}
	upstream.ConnectionFields(stored.Header)
	v := rfc9111.Judge(&q, stored)
	k.names = rfc9111.VaryNames(stored.Header)
	if !v.Store || v.Lifetime <= 0 || q.Part && len(k.names) > 0 || len(rfc9111.GroupNames(stored.Header["Cache-Groups"])) > 0 {
		return
	}
	targeted := stored.Header[rfc9111.OwnTarget]
	upstream.PassFields(stored.Header)
	t.positions.DropForeign(stored.Header)
	delete(stored.Header, "Age")
	for _, name := range v.Withheld {
		delete(stored.Header, name)
	}
	upstream.FinishHeader(stored.Header, a.Received)
	e := &store.Entry{Memory: t.memory, Route: o.Route, Status: uint16(a.Status), Received: t.now()}
	e.SetExtras(nil, targeted, 0)
	e.Judged(&v)
	switch {
	case q.Part:
		e.SetKey(o.Primary + store.PartSuffix)
	case len(k.names) > 0:
		e.SetKey(string(rfc9111.AppendVariant([]byte(o.Primary), k.names, o.Request)))
	default:
		e.SetKey(o.Primary)
	}
	k.entry, k.head = e, http1.AppendFields(http1.AppendStatus(nil, a.Status), stored.Header)
	k.body = make([]byte, 0, max(0, min(length, t.maxObject)))
}

// Write takes a piece of the body.
func (k *Copy) Write(p []byte) {
	if k == nil || k.entry == nil {
		return
	}
	if int64(len(k.body)+len(p)) > k.fills.maxObject {
		k.entry, k.body = nil, nil
		return
	}
	k.body = append(k.body, p...)
}

// End stores what was kept, after the body's clean end (C4).
func (k *Copy) End() {
	if k == nil || k.entry == nil || k.mark.doomed.Load() {
		return
	}
	t, e := k.fills, k.entry
	e.Body = k.body
	if e.Status == http.StatusPartialContent {
		t.keepPart(k.order.Primary, e, k.head)
		return
	}
	e.SetHead(http1.FinishHead(k.head, int(e.Status), len(e.Body)))
	t.memory.Finish(e)
	t.store(k.order.Primary, e)
}

// keepPart stores a part, or the whole if that is what it makes with the part
// that is stored.
func (t *Fills) keepPart(primary string, e *store.Entry, head []byte) {
	e.SetHead(head)
	h := e.Header()
	part := rfc9111.PartOf(h, int64(len(e.Body)))
	if part == nil {
		return
	}
	e.SetPart(part)
	delete(h, "Content-Range")
	e.SetHead(http1.AppendFields(http1.AppendStatus(nil, int(e.Status)), h))
	old := t.memory.Peek(primary + store.PartSuffix)
	if n := old.Combined(e); n != nil && int64(len(n.Body)) <= t.maxObject {
		e = n
	}
	if e.Part() == nil {
		e.SetKey(primary)
		t.memory.Take(primary + store.PartSuffix)
	}
	t.memory.Finish(e)
	t.memory.Put(e)
}
