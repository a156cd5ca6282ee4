package proxycache

import (
	"testing"

	"pgregory.net/rapid"

	"walpurge/internal/coherence"
)

func TestPositionRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Position{coherence.Epoch(rapid.Uint64().Draw(t, "epoch")), coherence.LSN(rapid.Uint64().Draw(t, "lsn"))}
		back, err := ParsePosition(p.String())
		if err != nil || back != p {
			t.Fatalf("%v comes back as %v, %v", p, back, err)
		}
	})
	for _, bad := range []string{"", ".", "1.0/1", "0000000000000001", "0000000000000001.", "000000000000000g.0/1", "0000000000000001.0/1.2"} {
		if p, err := ParsePosition(bad); err == nil {
			t.Errorf("%q parses as %v", bad, p)
		}
	}
}
