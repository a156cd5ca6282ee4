// Command origin is the property-listings service: it prepares its schema, fills
// it with sample data, and serves it as JSON and HTML.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "origin:", err)
	}
	os.Exit(exitCode(err))
}
