// Package pgerror tells people in one line why PostgreSQL can't be used.
package pgerror

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"walpurge/internal/conninfo"
)

// Line is err in one line if it is of a connection that can't be made: of that the driver lists every address, with
// TLS and without it. Line has what the server says, or else why there is none. Other errors stay as they are.
//
// Of what stands in the connection string or the environment, no more is shown than host, port, database and user.
func Line(err error) string {
	var unread *pgconn.ParseConfigError
	if errors.As(err, &unread) { // it quotes its input
		return "the connection string can't be read"
	}
	var failed *pgconn.ConnectError
	if !errors.As(err, &failed) {
		return err.Error()
	}
	text := strings.Replace(err.Error(), failed.Error(), why(failed), 1)
	return strings.Join(strings.Fields(text), " ")
}

func why(failed *pgconn.ConnectError) string {
	var answer *pgconn.PgError
	if errors.As(failed, &answer) {
		if !tellable(failed.Config, answer) {
			return fmt.Sprintf("the server at %s:%d refuses what the connection string gives it (SQLSTATE %s)", failed.Config.Host, failed.Config.Port, answer.Code)
		}
		return fmt.Sprintf("the server at %s:%d says: %s (SQLSTATE %s)", failed.Config.Host, failed.Config.Port, answer.Message, answer.Code)
	}
	if what := untrusted(failed); what != "" {
		return fmt.Sprintf("%s:%d: %s", failed.Config.Host, failed.Config.Port, what)
	}
	var unknown *net.DNSError
	if errors.As(failed, &unknown) {
		return unknown.Error()
	}
	var refused *net.OpError
	if errors.As(failed, &refused) {
		return refused.Error()
	}
	tries := strings.Split(failed.Unwrap().Error(), "\n")
	return tries[len(tries)-1]
}

// tellable tells whether the server's words quote nothing but names. It quotes user and database, and where parameters of
// the session are given, also their values.
func tellable(c *pgconn.Config, answer *pgconn.PgError) bool {
	if c.User != "" && !conninfo.Plain(c.User) || c.Database != "" && !conninfo.Plain(c.Database) {
		return false
	}
	switch answer.Code[:min(2, len(answer.Code))] {
	case "28", "3D", "53", "55", "57":
		return true
	}
	if answer.Code == "42501" {
		return true
	}
	for name, value := range c.RuntimeParams {
		if fixed, ok := own[name]; !ok || fixed != "" && fixed != value {
			return false
		}
	}
	return true
}

// own are the parameters that no error quotes, or that only the program itself gives, with these values.
var own = map[string]string{
	"application_name": "", "client_encoding": "", "replication": "", "DateStyle": "", "IntervalStyle": "", "TimeZone": "", "bytea_output": "",
	"extra_float_digits": "3", "search_path": "pg_catalog", "statement_timeout": "0",
}
