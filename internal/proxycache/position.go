package proxycache

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
	"walpurge/internal/rfc9111"
)

// Position is what a client gets with the response to an unsafe request and
// carries on later requests: then it never gets a response older than its own
// write, whichever proxy answers (G3).
type Position coherence.Position

// String is the form that the field carries without a secret: EPOCH.LSN.
func (p Position) String() string { return coherence.Position(p).String() }

// ParsePosition reads the form that String writes.
func ParsePosition(s string) (Position, error) {
	p, err := coherence.ParsePosition(s)
	return Position(p), err
}

// positionField is the header field that carries a position, both ways.
const positionField = "Walpurge-Position"

// positions is how positions go to clients and come back.
type positions struct {
	guard  *coherence.Guard // nil: they mean nothing here and pass through
	cookie string           // the name of the one that carries them beside the field; empty: none
	life   time.Duration    // of the cookie
	seal   *seal            // nil: they are not signed

	last atomic.Pointer[demand] // that was shared
}

// demand is how new a response must be for the positions that its request
// carries. The zero value asks for nothing.
type demand struct {
	epoch  coherence.Epoch // that lsn counts in
	lsn    coherence.LSN   // the highest of this epoch; 0: none
	strict bool            // there is one that can't be compared with what is applied
}

// shared is d where it can be handed on. Nearly all requests ask for the same.
func (s *positions) shared(d demand) *demand {
	if last := s.last.Load(); last != nil && *last == d {
		return last
	}
	own := new(demand)
	*own = d
	s.last.Store(own)
	return own
}

// take reads the positions that a request carries. The cookie ends here: it
// reaches neither a key nor the origin.
func (s *positions) take(req *http1.Request) (d demand) {
	if s.guard == nil {
		return d
	}
	d.epoch = s.guard.Epoch()
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
func (s *positions) add(d *demand, text []byte) {
	text, ok := s.seal.open(text)
	if !ok {
		d.strict = true
		return
	}
	p, err := ParsePosition(unsafe.String(unsafe.SliceData(text), len(text)))
	if err != nil || p.Epoch == 0 || p.Epoch != d.epoch {
		d.strict = true
		return
	}
	d.lsn = max(d.lsn, p.LSN)
}

// covered tells whether everything that is asked for has been applied. A
// position that isn't reached yet, or lies beyond the log's end, is not waited
// for: it takes a strict read as well.
func (s *positions) covered(d demand) bool {
	if d.strict || d.lsn == 0 {
		return !d.strict
	}
	return d.epoch == s.guard.Epoch() && d.lsn <= s.guard.Applied()
}

// tellPosition adds the position of a write to the head of its response. The
// commit had returned before the origin answered, so the position asked for
// now is at or after it. Without an answer the client gets a position of no
// epoch, which nothing covers: it reads strictly until its next write. To tell
// it nothing would leave it with an older one.
func (x *exchange) tellPosition(head []byte) []byte {
	s := &x.p.positions
	if rfc9111.Safe(x.Method) || x.p.opt.Positions.Ask == nil {
		return head
	}
	ctx, cancel := context.WithTimeout(context.Background(), x.p.opt.StrictWait)
	defer cancel()
	at, err := x.p.opt.Positions.Ask(ctx)
	if err != nil {
		at = Position{}
	} else if at.Epoch == x.demand.epoch {
		at.LSN = max(at.LSN, x.demand.lsn)
	}
	text := s.seal.sign(at.String())
	head = http1.AppendField(head, positionField, text)
	if s.cookie == "" {
		return head
	}
	https, _ := x.p.opt.Clients.Trusted.Outside(x.Exchange)
	return http1.AppendField(head, "Set-Cookie", s.setCookie(text, https))
}

// dropForeign takes out of an origin's response what only this proxy says.
func (s *positions) dropForeign(h http.Header) {
	if s.guard != nil {
		delete(h, positionField)
	}
}

// setCookie is the cookie that carries a position (RFC 6265 section 4.1).
func (s *positions) setCookie(text string, https bool) string {
	c := s.cookie + "=" + text + "; Path=/; Max-Age=" + strconv.FormatInt(int64(s.life/time.Second), 10) + "; HttpOnly; SameSite=Lax"
	if https {
		c += "; Secure"
	}
	return c
}
