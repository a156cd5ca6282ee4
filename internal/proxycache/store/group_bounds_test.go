package store

import (
	"fmt"
	"testing"

	"walpurge/internal/coherence"
)

func TestRFC9875Section3EndedGroupsAreRememberedInBounds(t *testing.T) {
	var index groupIndex
	e := &Entry{Extras: &Extras{groups: []string{"g0"}}}
	for i := range maxEnded + 10 {
		index.end(fmt.Sprint("g", i), coherence.Nanos(i))
	}
	if len(index.mu.ended) > maxEnded {
		t.Error(len(index.mu.ended))
	}
	if index.add(e, 0) {
		t.Error("g0 was ended, if long ago, and a response from before is kept")
	}
	if !index.add(e, maxEnded+1) || !index.holds(e) {
		t.Error("a response from after is not kept")
	}
}
