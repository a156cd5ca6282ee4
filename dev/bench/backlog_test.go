package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestBacklogIsWorkedOffByBoth(t *testing.T) {
	said := 0
	r, err := compareBacklogs(t.Context(), filepath.Join(t.TempDir(), "pg"), backlogSettings{rounds: 2, changes: 3000, cached: 1000}, func(string, ...any) { said++ })
	if err != nil {
		t.Fatal(err)
	}
	if len(r.ours) != 2 || len(r.theirs) != 2 || said != 2 {
		t.Errorf("got %+v and %d lines, want two rounds", r, said)
	}
	for _, seconds := range append(r.ours, r.theirs...) {
		if seconds <= 0 || seconds > patience.Seconds() {
			t.Errorf("took %v seconds", seconds)
		}
	}
}

// A listener that leaves something undone has not won anything. Here some responses depend on rows that don't change.
func TestResponsesThatStayAreAnError(t *testing.T) {
	_, err := compareBacklogs(t.Context(), filepath.Join(t.TempDir(), "pg"), backlogSettings{rounds: 1, changes: 1000, cached: 1500}, func(string, ...any) {})
	if err == nil || !strings.Contains(err.Error(), "1000 rows were applied of 1000, 1000 responses dropped of 1500, 1 epochs begun") {
		t.Errorf("got %v", err)
	}
}
