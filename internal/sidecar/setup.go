package sidecar

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"walpurge/internal/cdc"
	"walpurge/internal/pgerror"
)

// setup prepares the database, or prints what it would do.
func setup(ctx context.Context, c *command) error {
	if err := c.load(); err != nil {
		return err
	}
	if err := c.noArguments(); err != nil {
		return err
	}
	db := database(c.config, nil, nil)
	if db == nil {
		return usageError{errors.New("nothing to set up: no route has depends_on")}
	}
	db.Waiting = func(text string) { fmt.Fprintln(c.stderr, newPalette(c.stderr).odd("proxy:"), text) }
	statements, err := cdc.Setup(ctx, *db, c.print)
	if err != nil {
		var refused *cdc.RefusalError
		var unconnected *pgconn.ConnectError
		lasting := pgerror.Lasting(err, "") != ""
		if errors.As(err, &refused) || lasting || errors.As(err, &unconnected) && !unreachable(err) {
			return mistaken(c.config, err)
		}
		return err // what a statement met there is no mistake in the file
	}
	for _, s := range statements {
		fmt.Fprintf(c.stdout, "%s;\n", s)
	}
	switch {
	case len(statements) == 0:
		fmt.Fprintln(c.stdout, "the database is ready; nothing to do")
	case !c.print:
		fmt.Fprintln(c.stdout, "done")
	}
	return nil
}
