package primary

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// horizonLook is how often it is asked who is waited for.
const horizonLook = time.Second

// Horizon is passed once every transaction has ended that was open when it was
// made. It is used by one goroutine.
type Horizon struct {
	id    uint64 // transactions with a smaller one have to end
	asked time.Time
}

// NewHorizon takes a transaction id: all that are open have a smaller one.
func NewHorizon(ctx context.Context, conn *pgx.Conn) (*Horizon, error) {
	id, err := nextID(ctx, conn)
	return &Horizon{id: id}, err
}

// Passed tells whether they have ended. If not, it tells see now and then who
// is waited for.
func (h *Horizon) Passed(ctx context.Context, conn *pgx.Conn, see func(Waited)) (bool, error) {
	now, err := Snapshot(ctx, conn)
	if err != nil || now.XMin > h.id {
		return err == nil, err
	}
	if time.Since(h.asked) >= horizonLook {
		h.asked = time.Now()
		if found, err := askOpen(ctx, conn, h.id); err == nil { // else the next snapshot says why
			see(found)
		}
	}
	return false, nil
}
