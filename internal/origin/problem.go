package origin

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"
)

// fault is one thing wrong with one parameter or member of a request.
type fault struct {
	Name   string `json:"name"`
	Detail string `json:"detail"`
}

// problem is a failure that the client is told about, and the document that
// tells it (RFC 9457, section 3). The type is always about:blank, so the title is the
// status's own phrase; "faults" is an extension member.
type problem struct {
	Type   string  `json:"type"`
	Title  string  `json:"title"`
	Status int     `json:"status"`
	Detail string  `json:"detail,omitempty"`
	Faults []fault `json:"faults,omitempty"`

	header http.Header // sent along: Allow, Accept, Retry-After
}

func (p *problem) Error() string { return p.Title + ": " + p.Detail }

func newProblem(status int, detail string, faults ...fault) *problem {
	return &problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status,
		Detail: detail, Faults: faults, header: http.Header{},
	}
}

// problemFor decides what a failed request is answered with. Whatever is not
// the client's doing stays in the log and goes out without its text.
func problemFor(err error) *problem {
	var p *problem
	var tooLarge *http.MaxBytesError
	var connect *pgconn.ConnectError
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, ErrNotFound):
		return newProblem(http.StatusNotFound, "There is nothing with this id.")
	case errors.Is(err, ErrNoAgent):
		return newProblem(http.StatusBadRequest, "The request has faults.", fault{"agent_id", "is not the id of an agent"})
	case errors.As(err, &tooLarge):
		return newProblem(http.StatusRequestEntityTooLarge, "The body must not be larger than 1 MiB.")
	case errors.As(err, &connect), errors.Is(err, context.DeadlineExceeded), errors.Is(err, puddle.ErrClosedPool),
		errors.As(err, &pg) && unavailable(pg.Code), pgconn.Timeout(err):
		p = newProblem(http.StatusServiceUnavailable, "The database doesn't answer; try again later.")
		p.header.Set("Retry-After", "1")
		return p
	}
	return newProblem(http.StatusInternalServerError, "The request failed for a reason of ours; it is in the log.")
}

// unavailable reports whether a SQLSTATE says that the database is not there
// for us now: class 57 (operator intervention, which includes the statement timeout), class 53
// (insufficient resources), class 08 (connection).
func unavailable(code string) bool {
	switch code[:min(2, len(code))] {
	case "57", "53", "08":
		return true
	}
	return false
}

func (p *problem) writeHeader(w http.ResponseWriter) {
	for name, values := range p.header {
		w.Header()[name] = values
	}
}

func writeProblem(w http.ResponseWriter, p *problem) {
	body, err := json.Marshal(p)
	if err != nil {
		// Strings and numbers always marshal.
		panic(err)
	}
	p.writeHeader(w)
	write(w, p.Status, "application/problem+json", append(body, '\n'))
}

// logFailure records what problemFor kept from the client. A client that went away is
// not a failure; our own time limit is one, and ends the context with another error.
func logFailure(log *slog.Logger, r *http.Request, p *problem, err error) {
	if p.Status < 500 || errors.Is(r.Context().Err(), context.Canceled) {
		return
	}
	log.Error("request failed", "method", r.Method, "route", r.Pattern, "status", p.Status, "err", err)
}
