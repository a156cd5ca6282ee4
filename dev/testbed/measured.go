package testbed

import (
	"fmt"
	"os"
	"testing"
)

// measuredFile names a file that Measured appends to. make test and
// make soak print it at the end, since go test keeps the logs of tests that pass
// to itself.
const measuredFile = "WALPURGE_MEASURED"

// Measured logs what a test has measured, and shows it at the end of make test and make soak.
func Measured(t testing.TB, format string, args ...any) {
	t.Helper()
	line := fmt.Sprintf(format, args...)
	t.Log(line)
	name := os.Getenv(measuredFile)
	if name == "" {
		return
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Errorf("note what was measured: %v", err)
		return
	}
	_, err = fmt.Fprintf(f, "%s: %s\n", t.Name(), line)
	if err := f.Close(); err != nil {
		t.Errorf("note what was measured: %v", err)
	}
	if err != nil {
		t.Errorf("note what was measured: %v", err)
	}
}
