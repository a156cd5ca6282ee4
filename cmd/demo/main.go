// Command demo shows the proxy at work: it starts everything that is needed, drives readers and writers, audits what
// is served and sums up. The environment variables DEMO_FOR, DEMO_RATE, DEMO_CHANGES and DEMO_LISTINGS change its size.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"walpurge/internal/demo"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
	os.Exit(demo.Main(ctx, os.LookupEnv, os.Stdout, os.Stderr))
}
