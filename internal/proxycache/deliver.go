package proxycache

import (
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"walpurge/internal/coherence"
	"walpurge/internal/proxycache/fill"
	"walpurge/internal/proxycache/outcome"
	"walpurge/internal/proxycache/store"
	"walpurge/internal/rfc9111"
	"walpurge/internal/upstream"
)

// await waits for a flight's response, as its leader or a joiner, and sends what
// arrives. again means that the joiner got nothing to share and must look anew,
// alone that it must ask the origin itself.
func (x *exchange) await(f *fill.Flight, leader bool) (v verdict, again, alone bool) {
	patience := time.NewTimer(x.p.opt.JoinTimeout)
	defer patience.Stop()
	interims := 0
	for {
		s, wake := f.Look()
		for ; leader && interims < len(s.Interim); interims++ {
			_ = x.Interim(s.Interim[interims]) // the response's own write tells if the client is gone
		}
		switch s.Stage {
		case fill.Arriving:
			switch {
			case !leader && (!s.Shared || !f.Fits(&s, x.Request)):
				return v, true, !s.Shared
			case leader:
				x.stream(f, s, leader, f.Leave)
				return v, false, false
			case s.Length >= 0 && !f.Order.Route.Late: // a late dependency may forbid sharing
				if exit, ok := f.Enter(); ok {
					defer exit()
					x.stream(f, s, leader, exit)
					return v, false, false
				}
			}
		case fill.Whole:
			if !leader && (!s.Shared || !f.Fits(&s, x.Request)) {
				return v, true, !s.Shared
			}
			return x.whole(f, &s, leader), false, false
		case fill.Released:
			if !leader {
				return v, true, true
			}
			x.sendRest(f, &s, 0, false)
			return v, false, false
		case fill.Failed:
			if !leader && s.Reason != outcome.OriginSlow && s.Reason != outcome.OriginBusy && f.StandIn(&s, x.wish.NoCache) == nil {
				return v, true, true
			}
			return x.failure(f, &s), false, false
		}
		if s.Over && !leader {
			return v, true, false
		}
		if s.Over {
			x.watch(f.Leave)
		}
		select {
		case <-wake:
		case <-x.gone:
			return x.cutOff(), false, false
		case <-patience.C:
			if !leader && !f.Queued.Load() {
				return v, true, false
			}
			patience.Reset(x.p.opt.JoinTimeout) // asking oneself would mean the end of the queue
		}
	}
}

// whole is the answer with a flight's complete response.
func (x *exchange) whole(f *fill.Flight, s *fill.State, leader bool) verdict {
	v := verdict{way: toReply, outcome: outcome.Miss, cs: f.Status(s, leader), entry: s.Entry, at: x.p.opt.Now()}
	if leader && s.Own != nil {
		v.entry = s.Entry.WithHead(s.Own)
		x.p.memory.Finish(v.entry)
	}
	switch {
	case s.Valid:
		v.outcome = outcome.Revalidated
	case !leader:
		v.outcome = outcome.Collapsed
	}
	return v
}

// failure is the answer after a failed fill: the stale response where RFC 5861
// allows it, else a problem document.
func (x *exchange) failure(f *fill.Flight, s *fill.State) verdict {
	if e := f.StandIn(s, x.wish.NoCache); e != nil {
		return fromCache(outcome.Stale, e, x.p.opt.Now(), s.Reason)
	}
	return refused(s.Status, outcome.Fault, rfc9111.CacheStatus{Fwd: f.Status(s, true).Fwd, Detail: s.Reason}, sentences[s.Reason])
}

// stream sends a response while it arrives. leave tells the flight that the
// client is gone.
func (x *exchange) stream(f *fill.Flight, s fill.State, leader bool, leave func()) {
	cs, o := f.Status(&s, leader), outcome.Miss
	if !leader {
		o = outcome.Collapsed
	}
	defer x.done(o, cs.Detail)
	if tag, ok := store.NotModified(x.Request, s.Entry); ok {
		_ = x.Send(x.p.appendTiming(cs.Append(store.Append304(x.Buffer(), x.shown(f, &s), tag)), &cs, f.Entry, x.p.opt.Now()), nil)
		return
	}
	if err := x.Start(int(s.Entry.Status), x.streamHead(f, &s, cs), s.Length); err != nil {
		return
	}
	for sent := 0; ; {
		s, wake := f.Look()
		// The piece that completes the response waits until it is stored, so
		// that a client that has it whole finds it in the cache.
		last := s.Stage == fill.Arriving && s.Length == int64(len(s.Body))
		if sent < len(s.Body) && !last {
			n, err := x.Write(s.Body[sent:])
			if err != nil {
				return // the client is gone; the fill goes on
			}
			sent += n
			continue
		}
		switch s.Stage {
		case fill.Whole:
			_ = x.Finish(nil)
			return
		case fill.Released:
			if !leader {
				x.Abort()
				return
			}
			x.sendRest(f, &s, sent, true)
			return
		case fill.Failed:
			x.Abort() // H2: the client must see that the end is missing
			return
		}
		if s.Over {
			x.watch(leave)
		}
		select {
		case <-wake:
		case <-x.gone:
			x.Abort()
			return
		}
	}
}

// shown is the head of an arriving response as clients get it.
func (x *exchange) shown(f *fill.Flight, s *fill.State) []byte {
	shown, _, _ := x.p.memory.Dressing(f.Entry.Route, s.Head, s.Length).Dress(s.Head)
	return shown
}

func (x *exchange) streamHead(f *fill.Flight, s *fill.State, cs rfc9111.CacheStatus) []byte {
	head := slices.Grow(slices.Clip(x.shown(f, s)), 128)
	if age := f.Entry.Age; age >= coherence.Nanos(time.Second) {
		head = appendAge(head, int64(age)/int64(time.Second))
	}
	return x.p.appendTiming(cs.Append(head), &cs, f.Entry, x.p.opt.Now())
}

// sendRest passes on, unbuffered, what nobody keeps; sent bytes of it have
// been sent already.
func (x *exchange) sendRest(f *fill.Flight, s *fill.State, sent int, started bool) {
	r := s.Rest
	if !r.Take() {
		x.Abort()
		return
	}
	defer r.End()
	if !started {
		cs, o := f.Status(s, true), outcome.Miss
		if s.Reason != outcome.TooLarge {
			o = outcome.Pass
		}
		defer x.done(o, cs.Detail)
		e := &store.Entry{Status: uint16(r.Response.StatusCode)}
		e.SetHead(s.Head)
		if tag, ok := store.NotModified(x.Request, e); ok {
			_ = x.Send(x.p.appendTiming(cs.Append(store.Append304(x.Buffer(), s.Head, tag)), &cs, nil, 0), nil)
			return
		}
		head := upstream.AnnounceTrailer(append([]byte(nil), s.Head...), r.Response)
		if err := x.Start(r.Response.StatusCode, x.p.appendTiming(cs.Append(head), &cs, nil, 0), upstream.SilentLength(r.Response, s.Length)); err != nil {
			return
		}
	}
	x.watch(func() { r.Cancel(fill.ErrClientGone) })
	if sent < len(r.Prefix) {
		if _, err := x.Write(r.Prefix[sent:]); err != nil {
			return
		}
	}
	r.Prefix = nil // what follows may last for ever
	x.copyBody(r.Response, nil)
}

// copyBody sends each piece of a response's body as it arrives. k gets it, too.
func (x *exchange) copyBody(resp *http.Response, k *fill.Copy) {
	if x.Silent() {
		_ = x.Finish(nil)
		return
	}
	piece := x.p.pieces.Get().(*[]byte) //nolint:forcetypeassert // its New makes nothing else
	defer x.p.pieces.Put(piece)
	for {
		n, err := resp.Body.Read(*piece)
		if n > 0 {
			k.Write((*piece)[:n])
		}
		if err == io.EOF {
			k.End() // before the client has it whole
		}
		if n > 0 {
			if _, err := x.Write((*piece)[:n]); err != nil {
				return
			}
		}
		switch {
		case err == io.EOF:
			_ = x.Finish(upstream.TrailerLines(resp))
			return
		case err != nil:
			x.Abort() // H2
			return
		}
	}
}

// watch calls leave when the client goes away, and closes x.gone then. Only the
// first call in an exchange counts. A fill whose time isn't over goes on without
// its clients, so that nobody has to watch before.
func (x *exchange) watch(leave func()) {
	if x.gone != nil {
		return
	}
	gone := make(chan struct{})
	x.gone = gone
	x.Watch(sync.OnceFunc(func() {
		leave()
		close(gone)
	}))
}
