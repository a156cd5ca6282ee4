// Command demo shows the proxy at work: it starts everything that is needed, drives readers and writers, audits what
// is served and sums up. The environment variables DEMO_FOR, DEMO_RATE, DEMO_CHANGES and DEMO_LISTINGS change its size.
// `demo levels` runs its traffic without a cache, with the service's query cache, with the proxy, and with both.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"walpurge/internal/demo"
)

func main() {
	signalled, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithCancel(context.Background())
	// A second Ctrl-C ends the process at once: whatever follows the first finds the default again.
	context.AfterFunc(signalled, func() { stop(); cancel() })
	if len(os.Args) == 2 && os.Args[1] == "levels" {
		os.Exit(demo.Levels(ctx, os.LookupEnv, os.Stdout, os.Stderr))
	}
	os.Exit(demo.Main(ctx, os.LookupEnv, os.Stdout, os.Stderr))
}
