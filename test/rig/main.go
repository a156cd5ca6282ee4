package rig

import (
	"context"
	"io"
	"os"
	"os/signal"
	"testing"

	"github.com/rs/zerolog"

	"walpurge/dev/testbed"
	"walpurge/internal/sidecar"
)

// Main is TestMain of the packages that use this one: tests run the program as a process of its own, which is the test binary.
func Main(m *testing.M) {
	switch os.Getenv("WALPURGE_PROXY") {
	case "":
	case untilEOF:
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			cancel()
		}()
		os.Exit(sidecar.Report(sidecar.Run(ctx, os.Args[1:], os.Stdout, os.Stderr), os.Stderr))
	default:
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		os.Exit(sidecar.Report(sidecar.Run(ctx, os.Args[1:], os.Stdout, os.Stderr), os.Stderr))
	}
	// toxiproxy's toxics write a line for each connection to the global logger, and bury what failed.
	zerolog.SetGlobalLevel(zerolog.Disabled)
	testbed.Main(m)
}
