package pgerror

import (
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
)

// What the server answers, by its code and else by the class that the code begins
// with: https://www.postgresql.org/docs/current/errcodes-appendix.html.
var answers = map[string]advice{
	"28000": {mend: "correct the user in postgres.url, or let it in by pg_hba.conf"},
	"28P01": {mend: "correct the password in postgres.url"},
	"3D000": {mend: "correct the database's name in postgres.url, or create it"},
	"42501": {mend: "the role in postgres.url lacks a right: grant what the server names, or let whoever may do it run what `proxy setup -print` shows"},
	"25006": {mend: "the database takes no changes: use the URL of the primary, or find out who has set default_transaction_read_only for the role, the database or the server, and why"},
	"55000": {mend: "the server doesn't allow it in the state that it names"},
	"25P03": {true, "a time limit of the server ended the session: try again, or raise it for this role"},
	"25P04": {true, "a time limit of the server ended the transaction: try again, or raise it for this role"},
	"40":    {true, "try again: the server took back the transaction in favour of another"},
	"53":    {true, "the server is short of what it names"},
	"53100": {true, "the server's disk is full: make room there"},
	"53200": {true, "the server is short of memory"},
	"53300": {true, "wait until other connections end, or raise the limit of the server (max_connections), the database or the role (CONNECTION LIMIT)"},
	"53400": {true, "raise the limit of the server that it names, or free what counts towards it"},
	"55P03": {true, "somebody else has locked what the statement needs: end that transaction, or try again when it has ended"},
	"55006": {true, "somebody else uses it: try again when that has ended"},
	"57":    {true, "try again: somebody at the server has ended it"},
	"57014": {true, "try again: somebody or a time limit of the server (statement_timeout) has ended the statement"},
	"57P01": {true, "the server is shutting down, or somebody has ended the session: try again"},
	"57P02": {true, "the server has crashed and is starting again: try again"},
	"57P03": {true, "the server is starting or shutting down: try again"},
	"57P04": {mend: "correct the database's name in postgres.url: this one has been dropped"},
	"57P05": {true, "a time limit of the server ended the session: try again"},
	"08P01": {mend: "correct postgres.url: what answers is not PostgreSQL itself, but a pooler for instance"},
	"08":    {true, "the connection was lost: try again"},
	"58":    {true, "the server has trouble with its machine: see its log"},
	"XX":    {mend: "the server has trouble of its own: see its log"},
}

// advice is what to do about an answer.
type advice struct {
	passes bool // waiting may help, and no change of the configuration does
	mend   string
}

// of finds it. ok is false if err is no answer of the server, or of no kind that
// is known.
func of(err error) (a advice, ok bool) {
	var answer *pgconn.PgError
	if !errors.As(err, &answer) || len(answer.Code) != 5 {
		return advice{}, false
	}
	if a, ok = answers[answer.Code]; !ok {
		a, ok = answers[answer.Code[:2]]
	}
	return a, ok
}

// Passes tells whether err may go away by waiting: no server answered, or one
// that can't for the moment.
func Passes(err error) bool {
	var answer *pgconn.PgError
	if !errors.As(err, &answer) {
		return true
	}
	a, _ := of(err)
	return a.passes
}

// Mend is what to do about err, in words that end a sentence.
func Mend(err error) string {
	if a, ok := of(err); ok {
		return a.mend
	}
	var answer *pgconn.PgError
	var unconnected *pgconn.ConnectError
	switch {
	case !errors.As(err, &answer):
		return "correct postgres.url, or start PostgreSQL"
	case errors.As(err, &unconnected):
		return "correct postgres.url"
	}
	return "see the server's log for what it means"
}
