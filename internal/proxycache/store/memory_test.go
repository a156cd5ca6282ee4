package store

import (
	"log/slog"
	"testing"
	"time"

	"walpurge/internal/coherence"
)

var memoryTables = []coherence.Table{{Name: "public.listings", Columns: []coherence.Column{{Name: "id", Kind: coherence.Integer}}}}

// R3, the interleaving that the second look in put is for:
//
//  1. the fill admits its entry
//  2. a change is applied: the entry is dead, and not found in the tier
//  3. the fill puts the entry into the tier
func TestEntryTouchedBetweenAdmissionAndInsertIsNotKept(t *testing.T) {
	g, err := coherence.New(coherence.Config{Tables: memoryTables})
	if err != nil {
		t.Fatal(err)
	}
	g.Reset(1, 10)
	m, err := New(1<<20, g, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	e := &Entry{Memory: m, Guarded: true}
	e.SetKey("k")
	deps := g.Bind(&coherence.Template{}, nil, nil)
	if !g.Open(&e.Handle, e, deps) || !g.Admit(&e.Handle, e) {
		t.Fatal("not admitted")
	}
	tx := coherence.NewTransaction(memoryTables, 1)
	tx.Begin(1, 20, time.Unix(1, 0))
	tx.Whole(0)
	tx.Commit(30)
	g.Apply(tx)
	if m.Put(e) || m.Entries() != 0 {
		t.Fatal("kept")
	}
}

// Two keys of one place take turns in it: neither is ever taken for the other.
func TestTwoKeysOfOnePlace(t *testing.T) {
	m, err := New(1<<20, nil, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	other := newMarker(m, "other", &Extras{variants: &Variants{Names: []string{"a"}}, searches: &searches{}})
	other.Extras.variants.Add("variant of other")
	variant := newMarker(m, "variant of other", nil)
	m.Put(variant)
	collide := func() { m.cache.Set(m.place("k"), other) }
	collide()
	if m.Get([]byte("k")) != nil || m.Peek("k") != nil {
		t.Error("the other's entry is found")
	}
	m.Remove("k")
	if found, _ := m.cache.GetIfPresent(m.place("k")); found != other || m.Peek("variant of other") != variant {
		t.Error("the other's entry is removed, or its variants are")
	}
	if m.Replace(newMarker(m, "k", nil), newMarker(m, "k", nil)) {
		t.Error("the other's entry is replaced by a newer one of this key")
	}
	if m.searchMarker("k") != nil {
		t.Error("the other's entry is a marker of searches")
	}
	if v := m.Marker("k", []string{"a"}); v == other.Variants() || m.Peek("k") == nil || m.Peek("k").Variants() != v {
		t.Error("the other's variants are taken for the key's")
	}
	collide()
	e := newMarker(m, "k", nil)
	if !m.Put(e) || m.Get([]byte("k")) != e {
		t.Error("the place isn't taken over")
	}
}

// An entry that was replaced leaves its successor alone when it is evicted.
func TestEvictionOfReplacedEntryKeepsItsSuccessor(t *testing.T) {
	m, err := New(1<<20, nil, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	old, successor := newMarker(m, "k", nil), newMarker(m, "k", nil)
	m.Put(old)
	m.Put(successor)
	old.Evicted(coherence.Cause{})
	if m.Get([]byte("k")) != successor {
		t.Fatal("gone")
	}
}
