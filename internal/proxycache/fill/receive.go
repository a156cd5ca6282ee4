package fill

import (
	"bytes"
	"io"
	"net/http"
	"slices"

	"walpurge/internal/http1"
	"walpurge/internal/proxycache/outcome"
	"walpurge/internal/proxycache/store"
	"walpurge/internal/rfc9111"
	"walpurge/internal/upstream"
)

// receive judges a response's head, and keeps the body or lets it go.
func (f *fetch) receive(resp *http.Response, a *rfc9111.Answer) {
	t := f.fills
	upstream.ConnectionFields(a.Header)
	v := rfc9111.Judge(&f.Order.Question, a)
	switch {
	case v.Store && f.givesWay(a.Status):
		v.Store, v.Reason = false, rfc9111.StatusCode
	case v.Store && isStream(a.Header, resp.ContentLength):
		v.Store, v.Reason = false, outcome.Stream
	}
	if f.failed(a) {
		upstream.Discard(resp.Body)
		f.closeHandle()
		f.conclude(Failed, func(s *State) {
			s.Status, s.Reason, s.stale = http.StatusBadGateway, outcome.OriginFailed, f.stale
		})
		f.cancel(nil)
		return
	}
	targeted := a.Header[rfc9111.OwnTarget]
	upstream.PassFields(a.Header)
	t.positions.DropForeign(a.Header)
	if v.Store {
		delete(a.Header, "Age") // computed anew on every use
	}
	upstream.FinishHeader(a.Header, a.Received)
	names := rfc9111.VaryNames(a.Header)
	head := http1.AppendFields(http1.AppendStatus(nil, a.Status), a.Header)
	f.withhold(&v, a, head)
	r := &rest{Response: resp, Cancel: f.cancel}
	reason := v.Reason
	if v.Store && resp.ContentLength > t.maxObject {
		reason = outcome.TooLarge
	}
	if reason == outcome.NoReason && f.over() {
		reason = outcome.OriginSlow
	}
	if reason != outcome.NoReason {
		f.closeHandle()
		if f.stale != nil && !rfc9111.Passing(a.Status) && !f.stale.Outlasts(a.Status, t.now()) {
			t.forget(f.stale) // section 4.3.3: this response takes its place
		}
		switch {
		case v.Reason == outcome.NoReason:
			t.discarded(reason)
		case !rfc9111.Passing(a.Status): // the next answer may be a page
			t.Memo.add(f.Order.Key, t.now())
		}
		f.update(func(s *State) {
			s.fwdStatus, s.Head, s.Length, s.names = a.Status, head, resp.ContentLength, names
		})
		f.release(r, reason)
		return
	}
	f.describe(&v, a, names)
	f.extend(a.Header)
	f.Entry.SetExtras(f.Entry.Groups(), targeted, f.asked)
	f.reusable = v.Lifetime > 0 && f.own == nil
	arrived := &store.Entry{Status: uint16(a.Status)}
	arrived.SetHead(head)
	f.update(func(s *State) {
		s.Stage, s.fwdStatus, s.Head, s.Length, s.names = Arriving, a.Status, head, resp.ContentLength, names
		s.Entry = arrived
		s.kept, s.Shared = f.keepable(), f.shareable()
		if !s.kept {
			s.Reason = f.whyDead()
		}
	})
	f.arrives(resp)
	f.readBody(resp, r)
}

// withhold takes the fields that aren't stored (RFC 9111 sections 5.2.2.4 and
// 5.2.2.7) out of a response. head has them: it is for the leader alone.
func (f *fetch) withhold(v *rfc9111.Verdict, a *rfc9111.Answer, head []byte) {
	if !v.Store || len(v.Withheld) == 0 {
		return
	}
	for _, name := range v.Withheld {
		delete(a.Header, name)
	}
	f.own, f.block = head, http1.AppendFields(http1.AppendStatus(nil, a.Status), a.Header)
}

// describe fills in what the entry needs to know of its response.
func (f *fetch) describe(v *rfc9111.Verdict, a *rfc9111.Answer, names []string) {
	e := f.Entry
	e.Status = uint16(a.Status)
	e.Judged(v)
	if !e.Guarded {
		e.SetExtras(store.GroupsOf(f.Order.Primary, a.Header["Cache-Groups"]), e.Targeted(), f.asked)
	}
	f.searched(a.Header)
	key := f.stored()
	if len(names) > 0 {
		key = string(rfc9111.AppendVariant([]byte(key), names, f.Order.Request))
	}
	e.SetKey(key)
}

// readBody reads the body to its end. What is longer than what may be kept is
// handed to the leader.
func (f *fetch) readBody(resp *http.Response, r *rest) {
	t := f.fills
	buf := make([]byte, 0, bodySize(resp.ContentLength))
	for {
		if int64(len(buf)) > t.maxObject {
			f.closeHandle()
			t.discarded(outcome.TooLarge)
			r.Prefix = buf
			f.release(r, outcome.TooLarge)
			return
		}
		if len(buf) == cap(buf) {
			buf = slices.Grow(buf, max(len(buf), 4096))
		}
		n, err := resp.Body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if n > 0 {
			f.update(func(s *State) { s.Body = buf })
		}
		if err == io.EOF {
			break
		}
		if err == nil && f.handsOver(r, buf) {
			return
		}
		if err != nil {
			upstream.Discard(resp.Body)
			t.discarded(outcome.Incomplete)
			f.keepBeginning(resp.ContentLength, buf)
			f.fail(err)
			return
		}
	}
	upstream.Discard(resp.Body)
	f.end(buf)
	f.cancel(nil)
}

// bodySize is the first size of a body's buffer: one more than announced, so
// that the end shows without growing.
func bodySize(length int64) int64 {
	if length < 0 {
		return 4096
	}
	return length + 1
}

// end stores a response after its clean end (C4) and tells who waits.
func (f *fetch) end(body []byte) {
	e := f.Entry
	if cap(body) > len(body)+len(body)/8+64 {
		body = bytes.Clone(body)
	}
	e.Body = body
	f.mu.Lock()
	block := f.mu.state.Head
	f.mu.Unlock()
	if f.own != nil {
		block = f.block
	}
	e.SetHead(http1.FinishHead(block, int(e.Status), len(body)))
	if f.Order.Route.Late {
		f.learn(f.lateDeps(e.Header(), body))
	}
	f.fills.memory.Finish(e)
	reason := f.keep()
	f.complete(e, func(s *State) {
		s.Body, s.Length = body, int64(len(body))
		s.kept, s.Reason = reason == outcome.NoReason, reason
		s.Shared = f.shareable()
	})
}

// complete ends the flight with a whole response.
func (f *fetch) complete(e *store.Entry, change func(*State)) {
	f.conclude(Whole, func(s *State) {
		s.Entry, s.Shared, s.Own = e, true, f.own
		change(s)
	})
}
