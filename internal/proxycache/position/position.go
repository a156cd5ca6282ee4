// Package position is how clients read their own writes (G3): the token that
// tells a position in the log, its signature, what a request demands by the
// tokens that it carries, and what a service with a cache of its own is told.
// It knows package coherence, and requests as package http1 has them.
package position

import (
	"bytes"
	"context"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
	"unsafe"

	"walpurge/internal/coherence"
	"walpurge/internal/http1"
)

// positionField is the header field that carries a position, both ways:
// EPOCH.LSN, with a signature behind it where there is a secret.
const positionField = "Walpurge-Position"

// Options says how clients read their own writes.
type Options struct {
	// Ask is the primary's flush position at the time of the call and the
	// epoch it counts in: what a client that has just written must be able to
	// read. nil: clients are told no position.
	Ask func(ctx context.Context) (coherence.Position, error)

	Cookie string        // the name of a cookie that carries a position beside the header field; empty: none
	Secret string        // signs positions, the same in every proxy; empty: they are believed as they are
	Life   time.Duration // of the cookie; longer than the longest MaxLag of the routes; 1 min
}

// New makes the way of positions; guard is nil without PostgreSQL.
func New(o *Options, guard *coherence.Guard) *Positions {
	return &Positions{guard: guard, cookie: o.Cookie, life: o.Life, seal: NewSeal(o.Secret)}
}

// Follows tells whether positions mean something here.
func (s *Positions) Follows() bool { return s.guard != nil }

// Positions is how positions go to clients and come back.
type Positions struct {
	guard  *coherence.Guard // nil: they mean nothing here and pass through
	cookie string           // the name of the one that carries them beside the field; empty: none
	life   time.Duration    // of the cookie
	seal   *Seal            // nil: they are not signed

	last atomic.Pointer[Demand] // that was shared
}

// Demand is how new a response must be for the positions that its request
// carries. The zero value asks for nothing.
type Demand struct {
	Epoch  coherence.Epoch // that LSN counts in
	LSN    coherence.LSN   // the highest of this epoch; 0: none
	Strict bool            // there is one that can't be compared with what is applied
}

// Plain tells whether nothing is asked for.
func (d Demand) Plain() bool { return !d.Strict && d.LSN == 0 }

// Met tells whether what was computed at asof of an epoch is new enough.
func (d Demand) Met(epoch coherence.Epoch, asof coherence.LSN) bool {
	return !d.Strict && (d.LSN == 0 || epoch == d.Epoch && asof >= d.LSN)
}

// Shared is d where it can be handed on. Nearly all requests ask for the same.
func (s *Positions) Shared(d Demand) *Demand {
	if last := s.last.Load(); last != nil && *last == d {
		return last
	}
	own := new(Demand)
	*own = d
	s.last.Store(own)
	return own
}

// Take reads the positions that a request carries. The cookie ends here: it
// reaches neither a key nor the origin.
func (s *Positions) Take(req *http1.Request) (d Demand) {
	if s.guard == nil {
		return d
	}
	d.Epoch = s.guard.Epoch()
	if req.Has(http1.Of(http1.WalpurgePosition)) {
		for i := range req.Fields {
			if req.Fields[i].ID != http1.WalpurgePosition {
				continue
			}
			for text := range bytes.SplitSeq(req.Fields[i].Value, []byte{','}) {
				s.add(&d, bytes.TrimSpace(text))
			}
		}
	}
	if s.cookie != "" {
		req.TakeCookie(s.cookie, func(value []byte) { s.add(&d, value) })
	}
	return d
}

// add merges one position by maximum. One of another epoch, one that isn't
// signed as it should be, and text that is none ask for more than is known:
// the request becomes a strict read, which covers whatever had been written
// before it came.
func (s *Positions) add(d *Demand, text []byte) {
	text, ok := s.seal.Open(text)
	if !ok {
		d.Strict = true
		return
	}
	p, err := coherence.ParsePosition(unsafe.String(unsafe.SliceData(text), len(text)))
	if err != nil || p.Epoch == 0 || p.Epoch != d.Epoch {
		d.Strict = true
		return
	}
	d.LSN = max(d.LSN, p.LSN)
}

// Covered tells whether everything that is asked for has been applied. A
// position that isn't reached yet, or lies beyond the log's end, is not waited
// for: it takes a strict read as well.
func (s *Positions) Covered(d Demand) bool {
	if d.Strict || d.LSN == 0 {
		return !d.Strict
	}
	return d.Epoch == s.guard.Epoch() && d.LSN <= s.guard.Applied()
}

// Tell adds a position to the head of a response. https tells that the client's
// connection is encrypted.
func (s *Positions) Tell(head []byte, at coherence.Position, https bool) []byte {
	text := s.seal.Sign(at.String())
	head = http1.AppendField(head, positionField, text)
	if s.cookie == "" {
		return head
	}
	return http1.AppendField(head, "Set-Cookie", s.setCookie(text, https))
}

// DropForeign takes out of an origin's response what only this proxy says.
func (s *Positions) DropForeign(h http.Header) {
	if s.guard != nil {
		delete(h, positionField)
	}
}

// setCookie is the cookie that carries a position (RFC 6265 section 4.1).
func (s *Positions) setCookie(text string, https bool) string {
	c := s.cookie + "=" + text + "; Path=/; Max-Age=" + strconv.FormatInt(int64(s.life/time.Second), 10) + "; HttpOnly; SameSite=Lax"
	if https {
		c += "; Secure"
	}
	return c
}
