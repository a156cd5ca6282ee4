package main

import (
	"strings"
	"testing"
	"time"
)

func TestSettingsFromTheEnvironment(t *testing.T) {
	s, err := fromEnvironment(environment("DEMO_FOR", "90s", "DEMO_RATE", "500", "DEMO_CHANGES", "3", "DEMO_LISTINGS", "2000"))
	must(t, err)
	if s.For != 90*time.Second || s.Rate != 500 || s.Changes != 3 || s.Listings != 2000 {
		t.Errorf("settings %+v", s)
	}
}

func TestSettingsWithoutAnEnvironment(t *testing.T) {
	s, err := fromEnvironment(environment("DEMO_RATE", "")) // as make passes on what isn't set
	must(t, err)
	if s.For != 0 || s.Rate != 2000 || s.Listings != 100_000 || s.Dir != ".run" {
		t.Errorf("settings %+v", s)
	}
}

func TestSettingsThatCannotBeFollowed(t *testing.T) {
	for name, value := range map[string]string{
		"DEMO_FOR": "30", "DEMO_RATE": "0", "DEMO_CHANGES": "many", "DEMO_LISTINGS": "999",
	} {
		var stdout, stderr strings.Builder
		if status := demo(t.Context(), environment(name, value), &stdout, &stderr); status != 2 {
			t.Errorf("%s=%s: exit status %d, want 2", name, value, status)
		}
		if !strings.Contains(stderr.String(), name) || !strings.Contains(stderr.String(), "; give ") {
			t.Errorf("%s=%s: %q doesn't say how to mend it", name, value, stderr.String())
		}
	}
	if _, err := fromEnvironment(environment("DEMO_FOR", "-1s")); err == nil {
		t.Error("a negative DEMO_FOR is accepted")
	}
}
