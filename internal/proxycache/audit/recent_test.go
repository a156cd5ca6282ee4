package audit

import (
	"fmt"
	"slices"
	"testing"

	"walpurge/internal/coherence"
)

func TestRecentChangesAreBounded(t *testing.T) {
	var r recent
	for i := range 3 * keptRecent {
		r.add("a", recentChange{coherence.Position{Epoch: 1, LSN: coherence.LSN(i + 1)}, "insert", 2})
	}
	r.add("b", recentChange{coherence.Position{Epoch: 1, LSN: 5}, "update", 1})
	r.add("b", recentChange{coherence.Position{Epoch: 2, LSN: 5}, "update", 1})
	tell := func(asof coherence.Position) (list []string) {
		for _, s := range r.since(asof) {
			list = append(list, s.String())
		}
		return list
	}
	last := coherence.LSN(3 * keptRecent)
	for asof, want := range map[coherence.Position][]string{
		{Epoch: 1, LSN: 0}:        {fmt.Sprintf("a: insert at least %d in %d transactions from %s to %s", 2*keptRecent, keptRecent, last-keptRecent+1, last), "b: update 1 at 0/5"},
		{Epoch: 1, LSN: last - 2}: {fmt.Sprintf("a: insert 4 in 2 transactions from %s to %s", last-1, last)},
		{Epoch: 1, LSN: last}:     nil,
		{Epoch: 2, LSN: 4}:        {"b: update 1 at 0/5"},
		{Epoch: 3, LSN: 0}:        nil,
	} {
		if got := tell(asof); !slices.Equal(got, want) {
			t.Errorf("since %v: %q, want %q", asof, got, want)
		}
	}
}
