// Command origin is the property-listings service: it prepares its schema, fills
// it with sample data, and serves it as JSON and HTML.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"

	"walpurge/internal/pgerror"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "origin:", sentence(err))
	}
	os.Exit(exitCode(err))
}

// sentence is an error for people, in one line.
func sentence(err error) string {
	if lasting := pgerror.Lasting(err, urlName); lasting != "" {
		return lasting
	}
	var failed *pgconn.ConnectError
	if errors.As(err, &failed) {
		return "connect to PostgreSQL: " + pgerror.Line(err) + "; correct -database or DATABASE_URL, or start the server"
	}
	return pgerror.Line(err)
}
