// Package pgerror tells people in one line why PostgreSQL can't be used.
package pgerror

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Line is err in one line if it is of a connection that can't be made: of that the driver lists every address, with
// TLS and without it. Line has what the server says, or else why there is none. Other errors stay as they are.
func Line(err error) string {
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
		return fmt.Sprintf("the server at %s:%d says: %s (SQLSTATE %s)", failed.Config.Host, failed.Config.Port, answer.Message, answer.Code)
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
