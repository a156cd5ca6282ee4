package main

import (
	"context"
	"io"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"walpurge/internal/testbed"
)

// TestMain lets scripts run the program as a command, with its exit status.
func TestMain(m *testing.M) {
	switch os.Getenv("WALPURGE_PROXY") {
	case "":
	case untilEOF:
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			cancel()
		}()
		os.Exit(report(run(ctx, os.Args[1:], os.Stdout, os.Stderr), os.Stderr))
	default:
		os.Exit(report(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr), os.Stderr))
	}
	testbed.Main(m)
}

// TestCommandLine runs the shell sessions under testdata/script. $DATABASE_URL
// is an empty database, and "proxy" is this program.
func TestCommandLine(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("DATABASE_URL", testbed.Database(e.T().(testing.TB)))
			e.Setenv("WALPURGE_PROXY", "1")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"proxy": func(ts *testscript.TestScript, neg bool, args []string) {
				switch err := ts.Exec(exe, args...); {
				case err != nil && !neg:
					ts.Fatalf("proxy failed: %v", err)
				case err == nil && neg:
					ts.Fatalf("proxy succeeded")
				}
			},
		},
	})
}
