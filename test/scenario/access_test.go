package scenario

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"walpurge/test/rig"
)

// TestAccessLogTellsOfHitsAndMisses, and goes on in a new file when it is
// asked to.
func TestAccessLogTellsOfHitsAndMisses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "access.log")
	r := rig.New(t, rig.Options{Extra: "access_log: { file: " + file + ", format: json }\n"})
	r.Warm("/api/listings?city=Lagos")
	r.Get("/favicon.ico")
	text := func() string {
		b, _ := os.ReadFile(file)
		return string(b)
	}
	for _, want := range []string{
		`"client":"127.0.0.1","method":"GET","host":"127.0.0.1:`, `"target":"/api/listings?city=Lagos","status":200`,
		`"route":"/api/listings","outcome":"hit"`, `"route":"/api/listings","outcome":"miss"`, `"status":404`, `"route":"other"`,
	} {
		r.Eventually("the log has "+want, func() bool { return strings.Contains(text(), want) })
	}
	if err := os.Rename(file, file+".1"); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	r.Eventually("a new file", func() bool { _, err := os.Stat(file); return err == nil })
	r.Get("/again")
	r.Eventually("a line in it", func() bool { return strings.Contains(text(), `"target":"/again"`) })
}
