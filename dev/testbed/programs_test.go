package testbed

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestProgramsThatWereAskedFor(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(ProgramsVariable, dir)
	if got, err := postgresPrograms(); err == nil || !strings.Contains(err.Error(), ProgramsVariable) {
		t.Errorf("a directory without programs: %s, %v", got, err)
	}
	for _, name := range []string{"initdb", "postgres"} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), 0o755))
	}
	if got, err := postgresPrograms(); err != nil || got != dir {
		t.Errorf("%s and not %s: %v", got, dir, err)
	}
}

func TestMajor(t *testing.T) {
	for text, want := range map[string]int{"14.23": 14, "15.13 (Debian 15.13-0+deb12u1)": 15, "18beta1": 18, "": 0} {
		if got := major(text); got != want {
			t.Errorf("%q is %d and not %d", text, got, want)
		}
	}
}
