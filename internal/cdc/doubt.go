package cdc

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"

	"walpurge/internal/cdc/catalogue"
	"walpurge/internal/cdc/primary"
)

// doubt is an error that ends a session and its epoch (R8).
type doubt struct {
	reason string
	err    error
}

func (d *doubt) Error() string { return d.err.Error() }
func (d *doubt) Unwrap() error { return d.err }

// doubtOf is the doubt that err is; nil: it is none.
func doubtOf(err error) *doubt {
	var doubted *doubt
	if errors.As(err, &doubted) {
		return doubted
	}
	var behind *primary.BehindError
	if errors.As(err, &behind) {
		return &doubt{"behind", err}
	}
	return nil
}

// endsSession tells whether err on a connection beside the stream is more than trouble with
// that connection.
func endsSession(err error) bool {
	for _, end := range []error{primary.ErrOtherServer, primary.ErrOtherStart, primary.ErrShuttingDown, catalogue.ErrWaitedFor, errStreamGone, errRestart} {
		if errors.Is(err, end) {
			return true
		}
	}
	return doubtOf(err) != nil
}

// goesOn tells whether the session goes on after what was done on a
// connection, with err or without. If not, why is its end; nil: it was told to
// end. Trouble with that connection alone is noted.
func (h *shared) goesOn(ctx context.Context, what string, err error) (goes bool, why error) {
	switch {
	case ctx.Err() != nil:
		return false, nil
	case endsSession(err):
		return false, err
	case err != nil:
		h.trouble(what, err)
	}
	return true, nil
}

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
