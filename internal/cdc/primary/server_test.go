package primary

import (
	"errors"
	"testing"
)

// TestServersAreToldApart: a copy is another server than the original, though
// all but its start is the same.
func TestServersAreToldApart(t *testing.T) {
	own := Server{System: "7", Timeline: 2, Started: 1_700_000_000_000_000}
	for name, c := range map[string]struct {
		change func(*Server)
		want   error
	}{
		"itself":             {func(*Server) {}, nil},
		"another cluster":    {func(s *Server) { s.System = "8" }, ErrOtherServer},
		"after a failover":   {func(s *Server) { s.Timeline++ }, ErrOtherServer},
		"a standby":          {func(s *Server) { s.Recovery = true }, ErrOtherServer},
		"started later":      {func(s *Server) { s.Started++ }, ErrOtherStart},
		"started before":     {func(s *Server) { s.Started-- }, ErrOtherStart},
		"another one, later": {func(s *Server) { s.System, s.Started = "8", 1 }, ErrOtherServer},
	} {
		found := own
		c.change(&found)
		if err := own.Expect(found); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
