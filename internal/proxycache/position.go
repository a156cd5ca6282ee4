package proxycache

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"walpurge/internal/coherence"
	"walpurge/internal/proxycache/http1"
)

// Position is a place in the write-ahead log of one epoch. A client gets it
// with the response to an unsafe request and carries it on later requests:
// then it never gets a response older than its own write, whichever proxy
// answers (G3).
type Position struct {
	Epoch coherence.Epoch
	LSN   coherence.LSN
}

// positionField is the header field that carries a position, both ways.
const positionField = "Walpurge-Position"

// String is the form that the field carries: EPOCH.LSN.
func (p Position) String() string { return p.Epoch.String() + "." + p.LSN.String() }

// errPosition is all there is to say of text that is no position.
var errPosition = errors.New("a position is 16 hexadecimal digits, a dot and an LSN")

// ParsePosition reads the form that String writes.
func ParsePosition(s string) (Position, error) {
	epoch, at, ok := strings.Cut(s, ".")
	if !ok || len(epoch) != 16 {
		return Position{}, errPosition
	}
	e, err := strconv.ParseUint(epoch, 16, 64)
	if err != nil {
		return Position{}, errPosition
	}
	lsn, err := coherence.ParseLSN(at)
	if err != nil {
		return Position{}, fmt.Errorf("%w: %w", errPosition, err)
	}
	return Position{coherence.Epoch(e), lsn}, nil
}

// covered tells whether everything that the request's positions ask for has
// been applied. A position of another epoch, one that isn't reached yet, and
// text that is none ask for more than is known: the request becomes a strict
// read, which covers whatever had been written before it came.
func (x *exchange) covered() bool {
	if !x.Has(http1.Of(http1.WalpurgePosition)) {
		return true
	}
	for _, line := range texts(x.Request, http1.WalpurgePosition) {
		for text := range strings.SplitSeq(line, ",") {
			p, err := ParsePosition(strings.TrimSpace(text))
			if err != nil || p.Epoch != x.p.opt.Guard.Epoch() || p.LSN > x.p.opt.Guard.Applied() {
				return false
			}
		}
	}
	return true
}

// tellPosition adds the position of a write to the head of its response. The
// commit had returned before the origin answered, so the position asked for
// now is at or after it. Without an answer the client gets a position of no
// epoch, which nothing covers: it reads strictly until its next write. To tell
// it nothing would leave it with an older one.
func (x *exchange) tellPosition(head []byte) []byte {
	if safe(x.Method) || x.p.opt.Position == nil {
		return head
	}
	ctx, cancel := context.WithTimeout(context.Background(), x.p.opt.StrictWait)
	defer cancel()
	at, err := x.p.opt.Position(ctx)
	if err != nil {
		at = Position{}
	}
	return appendField(head, positionField, at.String())
}
