package proxycache

import (
	"context"

	"walpurge/internal/coherence"
	"walpurge/internal/rfc9111"
)

// tellPosition adds the position of a write to the head of its response. The
// commit had returned before the origin answered, so the position asked for
// now is at or after it. Without an answer the client gets a position of no
// epoch, which nothing covers: it reads strictly until its next write. To tell
// it nothing would leave it with an older one.
func (x *exchange) tellPosition(head []byte) []byte {
	if rfc9111.Safe(x.Method) || x.p.opt.Positions.Ask == nil {
		return head
	}
	ctx, cancel := context.WithTimeout(context.Background(), x.p.opt.StrictWait)
	defer cancel()
	at, err := x.p.opt.Positions.Ask(ctx)
	if err != nil {
		at = coherence.Position{}
	} else if at.Epoch == x.demand.Epoch {
		at.LSN = max(at.LSN, x.demand.LSN)
	}
	https, _ := x.p.opt.Clients.Trusted.Outside(x.Exchange)
	return x.p.positions.Tell(head, at, https)
}
