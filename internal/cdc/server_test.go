package cdc

import (
	"errors"
	"testing"
)

// TestServersAreToldApart: a copy is another server than the original, though
// all but its start is the same.
func TestServersAreToldApart(t *testing.T) {
	own := server{System: "7", Timeline: 2, Started: 1_700_000_000_000_000}
	for name, c := range map[string]struct {
		change func(*server)
		want   error
	}{
		"itself":             {func(*server) {}, nil},
		"another cluster":    {func(s *server) { s.System = "8" }, errOtherServer},
		"after a failover":   {func(s *server) { s.Timeline++ }, errOtherServer},
		"a standby":          {func(s *server) { s.recovery = true }, errOtherServer},
		"started later":      {func(s *server) { s.Started++ }, errOtherStart},
		"started before":     {func(s *server) { s.Started-- }, errOtherStart},
		"another one, later": {func(s *server) { s.System, s.Started = "8", 1 }, errOtherServer},
	} {
		found := own
		c.change(&found)
		if err := own.expect(found); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
