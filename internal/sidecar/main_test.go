package sidecar

import (
	"context"
	"io"
	"os"
	"os/signal"
	"testing"

	"github.com/rs/zerolog"

	"walpurge/dev/testbed"
)

// TestMain lets tests run the program as a process of its own.
func TestMain(m *testing.M) {
	switch os.Getenv("WALPURGE_PROXY") {
	case "":
	case untilEOF:
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			cancel()
		}()
		os.Exit(Report(Run(ctx, os.Args[1:], os.Stdout, os.Stderr), os.Stderr))
	default:
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		os.Exit(Report(Run(ctx, os.Args[1:], os.Stdout, os.Stderr), os.Stderr))
	}
	// toxiproxy's toxics write a line for each connection to the global logger, and bury what failed.
	zerolog.SetGlobalLevel(zerolog.Disabled)
	testbed.Main(m)
}
