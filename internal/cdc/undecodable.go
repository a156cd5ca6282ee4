package cdc

import (
	"errors"

	"github.com/jackc/pgx/v5/pgconn"

	"walpurge/internal/cdc/catalogue"
)

// failed is the error with which the server ends the stream.
func (r *receiver) failed(answer *pgconn.PgError) error {
	err := r.cfg.StreamFailed(answer)
	if found := (*catalogue.UndecodableError)(nil); errors.As(err, &found) {
		return &doubt{catalogue.ReasonPublication, err}
	}
	return err
}

// noteStuck notes that the slot can't be read on, if that is what ended the
// session.
func (l *Listener) noteStuck(err error) {
	if found := (*catalogue.UndecodableError)(nil); errors.As(err, &found) {
		l.history.stuck = &catalogue.Stuck{Server: l.history.server, At: l.guard.Applied()}
	}
}
