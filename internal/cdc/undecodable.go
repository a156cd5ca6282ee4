package cdc

import (
	"errors"
	"fmt"

	"walpurge/internal/cdc/catalogue"

	"github.com/jackc/pgx/v5/pgconn"
)

// undecodable says that the stream ended because its publication was not there.
type undecodable struct {
	publication string
	err         error
}

func (e *undecodable) Error() string {
	return fmt.Sprintf("%v: the log has changes from when publication %s was not there", e.err, e.publication)
}
func (e *undecodable) Unwrap() error { return e.err }

// failed is the error with which the server ends the stream.
func (r *receiver) failed(answer *pgconn.PgError) error {
	err := fmt.Errorf("receive: %w", answer)
	if answer.Code == "42704" { // undefined_object: of what decoding looks up by name there is the publication alone
		return &doubt{catalogue.ReasonPublication, &undecodable{r.cfg.Publication, err}}
	}
	return err
}

// noteStuck notes that the slot can't be read on, if that is what ended the
// session.
func (l *Listener) noteStuck(err error) {
	if found := (*undecodable)(nil); errors.As(err, &found) {
		l.history.stuck = &catalogue.Stuck{Server: l.history.server, At: l.guard.Applied()}
	}
}
