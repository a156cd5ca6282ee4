package cdc

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"walpurge/internal/coherence"
)

// TestFollowersPurgeSoonAfterTheLeader prints how much later than the leader a
// follower has purged.
func TestFollowersPurgeSoonAfterTheLeader(t *testing.T) {
	f, leader, followers := led(t, 1)
	for _, n := range []*notes{leader.notes, followers[0].notes} {
		n.mu.Lock()
		n.applied = make(map[coherence.LSN]time.Time)
		n.mu.Unlock()
	}
	const commits = 1000
	f.exec("INSERT INTO listings VALUES (1, 'Lagos', 0, NULL)")
	for i := range commits {
		f.exec(fmt.Sprintf("UPDATE listings SET price = %d WHERE id = 1", i))
	}
	f.agree(leader, followers[0])
	var later []time.Duration
	for end, at := range leader.notes.applied { // nothing more is applied
		if then, ok := followers[0].notes.applied[end]; ok {
			later = append(later, then.Sub(at))
		}
	}
	if len(later) < commits {
		t.Fatalf("the follower has applied %d of the leader's %d transactions", len(later), len(leader.notes.applied))
	}
	slices.Sort(later)
	t.Logf("the follower purges later than the leader by %v at the median, %v at p99, %v at most",
		later[len(later)/2], later[len(later)*99/100], later[len(later)-1])
	if p50 := later[len(later)/2]; p50 > 20*time.Millisecond {
		t.Errorf("%v at the median", p50)
	}
}
