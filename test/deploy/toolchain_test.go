package deploy

import (
	"go/version"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// toolchain is what go.mod says that everything is built with.
func toolchain(t *testing.T) string {
	t.Helper()
	line := regexp.MustCompile(`(?m)^toolchain (go\S+)$`).FindStringSubmatch(read(t, "go.mod"))
	if line == nil || !version.IsValid(line[1]) {
		t.Fatal("go.mod has no toolchain line: with which Go is this built?")
	}
	return line[1]
}

// Go's own mends of net/http reach the programs only where they are built with them, whatever Go is installed
// and whatever the environment says of it. Nothing newer is taken back.
//
// go test puts the Go that it is part of first in PATH, so its version alone would tell little.
func TestMakeBuildsWithTheToolchainOfGoMod(t *testing.T) {
	read(t, "Makefile")
	for _, set := range []string{"local", "", "go1.26.0"} {
		ask := byMake("--silent", "--eval", "ask: ; @echo $$GOTOOLCHAIN; go version", "ask")
		ask.Env = append(ask.Env, "GOTOOLCHAIN="+set)
		out, err := ask.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		said := strings.Fields(string(out)) // auto go version go1.26.0 linux/amd64
		if len(said) != 5 || said[0] != "auto" || version.Compare(said[3], toolchain(t)) < 0 {
			t.Errorf("with GOTOOLCHAIN=%s make builds with %q, want auto and %s or later", set, said, toolchain(t))
		}
	}
}

// A script that calls go does so as the Makefile does.
func TestScriptsUseTheToolchainOfGoMod(t *testing.T) {
	scripts, err := filepath.Glob(filepath.Join(root, "scripts", "*.sh"))
	if err != nil {
		t.Fatal(err)
	}
	callers := 0
	for _, script := range append(scripts, filepath.Join(root, ".ci", "run")) {
		text, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		call := regexp.MustCompile(`(?m)^[^#\n]*\bgo (?:test|build|run|tool|vet|list|mod|version)\b`).FindIndex(text)
		if call == nil {
			continue
		}
		callers++
		if set := regexp.MustCompile(`(?m)^export GOTOOLCHAIN=auto$`).FindIndex(text); set == nil || set[0] > call[0] {
			t.Errorf("%s calls go without `export GOTOOLCHAIN=auto`, so an older Go may do the work", script)
		}
	}
	if callers < 2 {
		t.Errorf("found %d scripts that call go, want at least 2", callers)
	}
}
