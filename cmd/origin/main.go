// Command origin is the property-listings service: it prepares its schema, fills
// it with sample data, and serves it as JSON and HTML.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"walpurge/internal/origin/command"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := command.Run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	os.Exit(command.Report(err, os.Stderr))
}
