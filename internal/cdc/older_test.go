package cdc

import (
	"testing"

	"walpurge/internal/cdc/catalogue"
	"walpurge/internal/cdc/primary"
	"walpurge/internal/coherence"
	"walpurge/internal/relay"
)

// TestWhoIsAskedBeforeLeading: a process asks who leads where the server is
// another one and behind, or was behind once, and nobody has said that the
// history is over.
func TestWhoIsAskedBeforeLeading(t *testing.T) {
	const applied = 100
	own := primary.Server{System: "7", Timeline: 2, Started: 10}
	for name, c := range map[string]struct {
		found    primary.Server
		position coherence.LSN
		older    bool
		doubt    string
		want     bool
	}{
		"an older copy":             {primary.Server{System: "7", Timeline: 2, Started: 11}, applied - 1, false, "", true},
		"not behind":                {primary.Server{System: "7", Timeline: 2, Started: 11}, applied, false, "", false},
		"not behind any more":       {primary.Server{System: "7", Timeline: 2, Started: 11}, applied + 9, true, "", true},
		"the same, set back":        {own, applied - 1, true, "", false},
		"a lower timeline":          {primary.Server{System: "7", Timeline: 1, Started: 11}, applied + 9, false, "", true},
		"a higher timeline":         {primary.Server{System: "7", Timeline: 3, Started: 11}, applied - 1, false, "", false},
		"another cluster":           {primary.Server{System: "8", Timeline: 2, Started: 11}, applied - 1, false, "", false},
		"the history has ended":     {primary.Server{System: "7", Timeline: 2, Started: 11}, applied - 1, false, "behind", false},
		"the original of that copy": {primary.Server{System: "7", Timeline: 2, Started: 9}, applied + 9, false, "", false},
	} {
		guard, err := coherence.New(coherence.Config{Tables: modelTables, FenceBits: 6})
		if err != nil {
			t.Fatal(err)
		}
		guard.Reset(1, applied)
		l := NewListener(Config{Scope: catalogue.Scope{Slot: "s"}, Relay: &relay.Config{}}, &catalogue.Catalogue{Tables: modelTables}, guard, nil)
		l.history = history{begun: true, server: own, doubt: c.doubt}
		l.follower.mu.older = c.older
		s := &opening{session: &session{shared: l.shared, follower: l.follower, server: c.found}, history: &l.history}
		if got := s.astray(standing{position: c.position, applied: applied}); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
