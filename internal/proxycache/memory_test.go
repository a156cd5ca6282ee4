package proxycache

import (
	"log/slog"
	"testing"

	"walpurge/internal/coherence"
)

// R3, the interleaving that the second look in put is for:
//
//  1. the fill admits its entry
//  2. a change is applied: the entry is dead, and not found in the tier
//  3. the fill puts the entry into the tier
func TestEntryTouchedBetweenAdmissionAndInsertIsNotKept(t *testing.T) {
	g, err := coherence.New(coherence.Config{Tables: testTables})
	if err != nil {
		t.Fatal(err)
	}
	g.Reset(1, 10)
	m, err := newMemory(1<<20, g, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	e := &entry{memory: m, guarded: true}
	e.setKey("k")
	deps := g.Bind(&coherence.Template{}, nil, nil)
	if !g.Open(&e.handle, e, deps) || !g.Admit(&e.handle, e) {
		t.Fatal("not admitted")
	}
	tx := coherence.NewTransaction(testTables, 1)
	tx.Begin(1, 20, judged)
	tx.Whole(0)
	tx.Commit(30)
	g.Apply(tx)
	if m.put(e) || m.entries() != 0 {
		t.Fatal("kept")
	}
}

// An entry that was replaced leaves its successor alone when it is evicted.
func TestEvictionOfReplacedEntryKeepsItsSuccessor(t *testing.T) {
	m, err := newMemory(1<<20, nil, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	old, successor := newMarker(m, "k", nil), newMarker(m, "k", nil)
	m.put(old)
	m.put(successor)
	old.Evicted(coherence.Cause{})
	if m.get([]byte("k")) != successor {
		t.Fatal("gone")
	}
}
