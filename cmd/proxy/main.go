// Command proxy is walpurge: a caching reverse proxy that drops exactly the
// responses whose rows changed.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"walpurge/internal/sidecar"
)

func main() {
	signalled, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithCancel(context.Background())
	// A second signal kills: whatever follows the first finds the default again.
	context.AfterFunc(signalled, func() { stop(); cancel() })
	err := sidecar.Run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	os.Exit(sidecar.Report(err, os.Stderr))
}
