package proxycache

import (
	"io"
	"net/http"
	"slices"
	"time"

	"walpurge/internal/coherence"
	"walpurge/internal/proxycache/outcome"
	"walpurge/internal/proxycache/store"
	"walpurge/internal/rfc9111"
	"walpurge/internal/upstream"
)

// await waits for a flight's response, as its leader or a joiner, and sends what
// arrives. again means that the joiner got nothing to share and must look anew,
// alone that it must ask the origin itself.
func (x *exchange) await(f *Flight, leader bool) (v verdict, again, alone bool) {
	patience := time.NewTimer(x.p.opt.JoinTimeout)
	defer patience.Stop()
	interims := 0
	for {
		s, wake := f.look()
		for ; leader && interims < len(s.interim); interims++ {
			_ = x.Interim(s.interim[interims]) // the response's own write tells if the client is gone
		}
		switch s.stage {
		case arriving:
			switch {
			case !leader && (!s.shared || !f.fits(&s, x.Request)):
				return v, true, !s.shared
			case leader:
				x.stream(f, s, leader, f.leave)
				return v, false, false
			case s.length >= 0 && !f.order.route.Late: // a late dependency may forbid sharing
				if exit, ok := f.enter(); ok {
					defer exit()
					x.stream(f, s, leader, exit)
					return v, false, false
				}
			}
		case whole:
			if !leader && (!s.shared || !f.fits(&s, x.Request)) {
				return v, true, !s.shared
			}
			return x.whole(f, &s, leader), false, false
		case released:
			if !leader {
				return v, true, true
			}
			x.sendRest(f, &s, 0, false)
			return v, false, false
		case failed:
			if !leader && s.reason != OriginSlow && s.reason != OriginBusy && f.standIn(&s, x.wish.NoCache) == nil {
				return v, true, true
			}
			return x.failure(f, &s), false, false
		}
		if s.over && !leader {
			return v, true, false
		}
		if s.over {
			x.watch(f.leave)
		}
		select {
		case <-wake:
		case <-x.gone:
			return x.cutOff(), false, false
		case <-patience.C:
			if !leader && !f.queued.Load() {
				return v, true, false
			}
			patience.Reset(x.p.opt.JoinTimeout) // asking oneself would mean the end of the queue
		}
	}
}

// whole is the answer with a flight's complete response.
func (x *exchange) whole(f *Flight, s *flightState, leader bool) verdict {
	v := verdict{way: toReply, outcome: outcome.Miss, cs: f.status(s, leader), entry: s.entry, at: x.p.opt.Now()}
	if leader && s.own != nil {
		v.entry = s.entry.WithHead(s.own)
		x.p.memory.Finish(v.entry)
	}
	switch {
	case s.valid:
		v.outcome = outcome.Revalidated
	case !leader:
		v.outcome = outcome.Collapsed
	}
	return v
}

// failure is the answer after a failed fill: the stale response where RFC 5861
// allows it, else a problem document.
func (x *exchange) failure(f *Flight, s *flightState) verdict {
	if e := f.standIn(s, x.wish.NoCache); e != nil {
		return fromCache(outcome.Stale, e, x.p.opt.Now(), s.reason)
	}
	return refused(s.status, outcome.Fault, rfc9111.CacheStatus{Fwd: f.status(s, true).Fwd, Detail: s.reason}, sentences[s.reason])
}

// stream sends a response while it arrives. leave tells the flight that the
// client is gone.
func (x *exchange) stream(f *Flight, s flightState, leader bool, leave func()) {
	cs, o := f.status(&s, leader), outcome.Miss
	if !leader {
		o = outcome.Collapsed
	}
	defer x.done(o, cs.Detail)
	if tag, ok := store.NotModified(x.Request, s.entry); ok {
		_ = x.Send(x.p.appendTiming(cs.Append(store.Append304(x.Buffer(), x.shown(f, &s), tag)), &cs, f.entry, x.p.opt.Now()), nil)
		return
	}
	if err := x.Start(int(s.entry.Status), x.streamHead(f, &s, cs), s.length); err != nil {
		return
	}
	for sent := 0; ; {
		s, wake := f.look()
		// The piece that completes the response waits until it is stored, so
		// that a client that has it whole finds it in the cache.
		last := s.stage == arriving && s.length == int64(len(s.body))
		if sent < len(s.body) && !last {
			n, err := x.Write(s.body[sent:])
			if err != nil {
				return // the client is gone; the fill goes on
			}
			sent += n
			continue
		}
		switch s.stage {
		case whole:
			_ = x.Finish(nil)
			return
		case released:
			if !leader {
				x.Abort()
				return
			}
			x.sendRest(f, &s, sent, true)
			return
		case failed:
			x.Abort() // H2: the client must see that the end is missing
			return
		}
		if s.over {
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
func (x *exchange) shown(f *Flight, s *flightState) []byte {
	shown, _, _ := x.p.memory.Dressing(f.entry.Route, s.head, s.length).Dress(s.head)
	return shown
}

func (x *exchange) streamHead(f *Flight, s *flightState, cs rfc9111.CacheStatus) []byte {
	head := slices.Grow(slices.Clip(x.shown(f, s)), 128)
	if age := f.entry.Age; age >= coherence.Nanos(time.Second) {
		head = appendAge(head, int64(age)/int64(time.Second))
	}
	return x.p.appendTiming(cs.Append(head), &cs, f.entry, x.p.opt.Now())
}

// sendRest passes on, unbuffered, what nobody keeps; sent bytes of it have
// been sent already.
func (x *exchange) sendRest(f *Flight, s *flightState, sent int, started bool) {
	r := s.rest
	if !r.take() {
		x.Abort()
		return
	}
	defer r.end()
	if !started {
		cs, o := f.status(s, true), outcome.Miss
		if s.reason != TooLarge {
			o = outcome.Pass
		}
		defer x.done(o, cs.Detail)
		e := &store.Entry{Status: uint16(r.resp.StatusCode)}
		e.SetHead(s.head)
		if tag, ok := store.NotModified(x.Request, e); ok {
			_ = x.Send(x.p.appendTiming(cs.Append(store.Append304(x.Buffer(), s.head, tag)), &cs, nil, 0), nil)
			return
		}
		head := upstream.AnnounceTrailer(append([]byte(nil), s.head...), r.resp)
		if err := x.Start(r.resp.StatusCode, x.p.appendTiming(cs.Append(head), &cs, nil, 0), upstream.SilentLength(r.resp, s.length)); err != nil {
			return
		}
	}
	x.watch(func() { r.cancel(errClientGone) })
	if sent < len(r.prefix) {
		if _, err := x.Write(r.prefix[sent:]); err != nil {
			return
		}
	}
	r.prefix = nil // what follows may last for ever
	x.copyBody(r.resp, nil)
}

// copyBody sends each piece of a response's body as it arrives. k gets it, too.
func (x *exchange) copyBody(resp *http.Response, k *Copy) {
	if x.Silent() {
		_ = x.Finish(nil)
		return
	}
	piece := x.p.pieces.Get().(*[]byte) //nolint:forcetypeassert // its New makes nothing else
	defer x.p.pieces.Put(piece)
	for {
		n, err := resp.Body.Read(*piece)
		if n > 0 {
			k.write((*piece)[:n])
		}
		if err == io.EOF {
			k.end() // before the client has it whole
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
