package catalogue

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"walpurge/internal/cdc/primary"
)

// Vacancy looks whether somebody holds the slot. It is one small query on a
// connection that stays, where asking for the slot itself takes two new
// connections and a look at the whole catalogue.
type Vacancy struct{ conn *pgx.Conn }

// Look reads the slot of s; nil: there is none.
func (v *Vacancy) Look(ctx context.Context, s *Scope) (*Slot, error) {
	ctx, cancel := context.WithTimeout(ctx, primary.QueryTimeout)
	defer cancel()
	if v.conn == nil || v.conn.IsClosed() {
		conn, err := s.Primary().Connect(ctx)
		if err != nil {
			return nil, err
		}
		v.conn = conn
	}
	slot, err := FindSlot(ctx, v.conn, s.Slot)
	if err != nil {
		v.Close()
	}
	return slot, err
}

// Close ends the connection: the next look makes another.
func (v *Vacancy) Close() {
	if v.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = v.conn.Close(ctx)
		v.conn = nil
	}
}
