package main

import (
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"walpurge/dev/testbed"
)

// TestMain lets scripts run the program as a command, with its exit status.
func TestMain(m *testing.M) {
	if os.Getenv("WALPURGE_PROXY") != "" {
		main()
	}
	testbed.Main(m)
}

// TestCommandLine runs the shell sessions under testdata/script. $DATABASE_URL
// is an empty database, $ORIGIN and $TLS_ORIGIN are addresses of servers, the second with a
// certificate that nobody trusts, and "proxy" is this program.
func TestCommandLine(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("DATABASE_URL", testbed.Database(e.T().(testing.TB)))
			e.Setenv("REDIS_URL", testbed.SharedRedis(e.T().(testing.TB)))
			e.Setenv("WALPURGE_PROXY", "1")
			e.Setenv("PROXY", exe)
			plain, sealed := httptest.NewServer(nil), httptest.NewTLSServer(nil)
			e.Defer(plain.Close)
			e.Defer(sealed.Close)
			e.Setenv("ORIGIN", plain.Listener.Addr().String())
			e.Setenv("TLS_ORIGIN", sealed.Listener.Addr().String())
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
			// eventually runs a command until it succeeds.
			"eventually": func(ts *testscript.TestScript, _ bool, args []string) {
				tick := time.NewTicker(10 * time.Millisecond)
				defer tick.Stop()
				deadline := time.After(30 * time.Second)
				for args[0] = exe; ts.Exec(exe, args[1:]...) != nil; {
					select {
					case <-tick.C:
					case <-deadline:
						ts.Fatalf("waited 30 s in vain: %v", args[1:])
					}
				}
			},
		},
	})
}
