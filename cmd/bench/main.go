// Command bench compares the proxy with other caches and its listener with pg_recvlogical, on this machine and in one
// run. It wants bin/proxy and the other programs to be there: `make bench` sees to that.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"walpurge/internal/bench"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
	os.Exit(bench.Main(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
