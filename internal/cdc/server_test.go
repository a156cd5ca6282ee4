package cdc

import (
	"errors"
	"testing"

	"walpurge/internal/coherence"
)

// TestServersAreToldApart: a copy is another server than the original, though
// all but its start is the same.
func TestServersAreToldApart(t *testing.T) {
	own := server{system: "7", timeline: 2, started: 1_700_000_000_000_000}
	for name, c := range map[string]struct {
		change func(*server)
		want   error
	}{
		"itself":             {func(*server) {}, nil},
		"another cluster":    {func(s *server) { s.system = "8" }, errOtherServer},
		"after a failover":   {func(s *server) { s.timeline++ }, errOtherServer},
		"a standby":          {func(s *server) { s.recovery = true }, errOtherServer},
		"started later":      {func(s *server) { s.started++ }, errOtherStart},
		"started before":     {func(s *server) { s.started-- }, errOtherStart},
		"another one, later": {func(s *server) { s.system, s.started = "8", 1 }, errOtherServer},
	} {
		found := own
		c.change(&found)
		if err := own.expect(found); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestWhoIsAskedBeforeLeading: a process asks who leads where the server is
// another one and behind, or was behind once, and nobody has said that the
// history is over.
func TestWhoIsAskedBeforeLeading(t *testing.T) {
	const applied = 100
	own := server{system: "7", timeline: 2, started: 10}
	for name, c := range map[string]struct {
		found    server
		position coherence.LSN
		older    bool
		doubt    string
		want     bool
	}{
		"an older copy":             {server{"7", 2, false, 11}, applied - 1, false, "", true},
		"not behind":                {server{"7", 2, false, 11}, applied, false, "", false},
		"not behind any more":       {server{"7", 2, false, 11}, applied + 9, true, "", true},
		"the same, set back":        {own, applied - 1, true, "", false},
		"a lower timeline":          {server{"7", 1, false, 11}, applied + 9, false, "", true},
		"a higher timeline":         {server{"7", 3, false, 11}, applied - 1, false, "", false},
		"another cluster":           {server{"8", 2, false, 11}, applied - 1, false, "", false},
		"the history has ended":     {server{"7", 2, false, 11}, applied - 1, false, "behind", false},
		"the original of that copy": {server{"7", 2, false, 9}, applied + 9, false, "", false},
	} {
		guard, err := coherence.New(coherence.Config{Tables: modelTables, FenceBits: 6})
		if err != nil {
			t.Fatal(err)
		}
		guard.Reset(1, applied)
		l := NewListener(Config{Slot: "s", Relay: &Relay{}}, &Catalogue{Tables: modelTables}, guard, nil)
		l.history = history{begun: true, server: own, doubt: c.doubt}
		l.follower.mu.older = c.older
		s := &session{l: l, server: c.found}
		if got := s.astray(standing{position: c.position, applied: applied}); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
