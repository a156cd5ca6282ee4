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

// Two keys of one place take turns in it: neither is ever taken for the other.
func TestTwoKeysOfOnePlace(t *testing.T) {
	m, err := newMemory(1<<20, nil, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	other := newMarker(m, "other", &apart{variants: &variants{names: []string{"a"}}, searches: &searches{}})
	other.apart.variants.add("variant of other")
	variant := newMarker(m, "variant of other", nil)
	m.put(variant)
	collide := func() { m.cache.Set(m.place("k"), other) }
	collide()
	if m.get([]byte("k")) != nil || m.peek("k") != nil {
		t.Error("the other's entry is found")
	}
	m.remove("k")
	if found, _ := m.cache.GetIfPresent(m.place("k")); found != other || m.peek("variant of other") != variant {
		t.Error("the other's entry is removed, or its variants are")
	}
	if m.replace(newMarker(m, "k", nil), newMarker(m, "k", nil)) {
		t.Error("the other's entry is replaced by a newer one of this key")
	}
	if m.searchMarker("k") != nil {
		t.Error("the other's entry is a marker of searches")
	}
	if v := m.marker("k", []string{"a"}); v == other.variants() || m.peek("k") == nil || m.peek("k").variants() != v {
		t.Error("the other's variants are taken for the key's")
	}
	collide()
	e := newMarker(m, "k", nil)
	if !m.put(e) || m.get([]byte("k")) != e {
		t.Error("the place isn't taken over")
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
