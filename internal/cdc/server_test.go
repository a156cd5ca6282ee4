package cdc

import (
	"errors"
	"testing"

	"walpurge/internal/coherence"
	"walpurge/internal/relay"
)

// TestServersAreToldApart: a copy is another server than the original, though
// all but its start is the same.
func TestServersAreToldApart(t *testing.T) {
	own := server{ServerID: relay.ServerID{System: "7", Timeline: 2, Started: 1_700_000_000_000_000}}
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

// TestWhoIsAskedBeforeLeading: a process asks who leads where the server is
// another one and behind, or was behind once, and nobody has said that the
// history is over.
func TestWhoIsAskedBeforeLeading(t *testing.T) {
	const applied = 100
	own := server{ServerID: relay.ServerID{System: "7", Timeline: 2, Started: 10}}
	for name, c := range map[string]struct {
		found    server
		position coherence.LSN
		older    bool
		doubt    string
		want     bool
	}{
		"an older copy":             {server{ServerID: relay.ServerID{System: "7", Timeline: 2, Started: 11}}, applied - 1, false, "", true},
		"not behind":                {server{ServerID: relay.ServerID{System: "7", Timeline: 2, Started: 11}}, applied, false, "", false},
		"not behind any more":       {server{ServerID: relay.ServerID{System: "7", Timeline: 2, Started: 11}}, applied + 9, true, "", true},
		"the same, set back":        {own, applied - 1, true, "", false},
		"a lower timeline":          {server{ServerID: relay.ServerID{System: "7", Timeline: 1, Started: 11}}, applied + 9, false, "", true},
		"a higher timeline":         {server{ServerID: relay.ServerID{System: "7", Timeline: 3, Started: 11}}, applied - 1, false, "", false},
		"another cluster":           {server{ServerID: relay.ServerID{System: "8", Timeline: 2, Started: 11}}, applied - 1, false, "", false},
		"the history has ended":     {server{ServerID: relay.ServerID{System: "7", Timeline: 2, Started: 11}}, applied - 1, false, "behind", false},
		"the original of that copy": {server{ServerID: relay.ServerID{System: "7", Timeline: 2, Started: 9}}, applied + 9, false, "", false},
	} {
		guard, err := coherence.New(coherence.Config{Tables: modelTables, FenceBits: 6})
		if err != nil {
			t.Fatal(err)
		}
		guard.Reset(1, applied)
		l := NewListener(Config{Slot: "s", Relay: &relay.Config{}}, &Catalogue{Tables: modelTables}, guard, nil)
		l.history = history{begun: true, server: own, doubt: c.doubt}
		l.follower.mu.older = c.older
		s := &session{l: l, server: c.found}
		if got := s.astray(standing{position: c.position, applied: applied}); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
