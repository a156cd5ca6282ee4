package cdc

import (
	"testing"

	"walpurge/internal/cdc/pgoutput"
	"walpurge/internal/coherence"
)

// TestBothSourcesDeliverOnce lets a stream and what is read ahead of it
// deliver the same transactions, and looks at what may be acknowledged.
func TestBothSourcesDeliverOnce(t *testing.T) {
	tables := []coherence.Table{{Name: "public.rooms"}}
	guard, err := coherence.New(coherence.Config{Tables: tables})
	if err != nil {
		t.Fatal(err)
	}
	guard.Reset(1, 10)
	n := &notes{guard: guard}
	s := &receiver{shared: &shared{guard: guard, observer: n}}
	s.progress = &progress{shared: s.shared, pending: &visibility{wake: make(chan struct{}, 1)}}
	s.progress.stream(10)
	tx := coherence.NewTransaction(tables, 10)
	commit := func(xid uint32, start, end coherence.LSN) bool {
		tx.Begin(xid, start, pgoutput.Timestamp(0))
		tx.Whole(0)
		tx.Commit(end)
		return s.progress.Deliver(tx)
	}
	for _, step := range []struct {
		what                           string
		do                             func() bool
		want                           bool
		applied, streamed, acknowledge coherence.LSN
		pending                        int
	}{
		{"ahead", func() bool { return commit(1, 20, 30) }, true, 30, 10, 10, 1},
		{"ahead, up to the end of the log", func() bool { s.progress.Advance(50); return true }, true, 50, 10, 10, 1},
		{"the same from the stream", func() bool { return commit(1, 20, 30) }, false, 50, 30, 20, 1},
		{"a keepalive in the stream", func() bool { s.reached(40); return true }, true, 50, 40, 20, 1},
		{"it is visible", func() bool { return guard.SettleTo(30) == 0 }, true, 50, 40, 40, 0},
		{"the next, from the stream", func() bool { return commit(2, 50, 60) }, true, 60, 60, 50, 1},
		{"the same ahead", func() bool { return commit(2, 50, 60) }, false, 60, 60, 50, 1},
		{"one that had ended before", func() bool { return commit(3, 12, 15) }, false, 60, 60, 50, 1},
	} {
		if got := step.do(); got != step.want {
			t.Errorf("%s: %t", step.what, got)
		}
		s.progress.stream(step.streamed)
		if guard.Applied() != step.applied || s.progress.Applied() != step.applied || s.progress.acknowledge() != step.acknowledge || guard.Pending() != step.pending {
			t.Errorf("%s: applied %s, at %s, acknowledged %s, %d pending", step.what, guard.Applied(), s.progress.Applied(), s.progress.acknowledge(), guard.Pending())
		}
	}
	if len(n.lines) != 2 {
		t.Errorf("applied %q", n.lines)
	}
}
