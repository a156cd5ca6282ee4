package cdc

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"walpurge/internal/coherence"
)

func TestLookSurvivesTheRelay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[0-9a-f]{1,16}`)
		l := &look{publication: rapid.StringMatching(`[0-9a-f]{0,32}`).Draw(t, "publication"), lost: rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "lost")}
		l.tables = rapid.MapOf(rapid.String(), rapid.Custom(func(t *rapid.T) tableLook {
			return tableLook{word.Draw(t, "p"), word.Draw(t, "m"), word.Draw(t, "i"), word.Draw(t, "w"), word.Draw(t, "h")}
		})).Draw(t, "tables")
		got := parseLook(l.String())
		if got == nil || got.publication != l.publication || !maps.Equal(got.tables, l.tables) || !maps.Equal(got.lost, l.lost) {
			t.Fatalf("%q is read as %+v", l.String(), got)
		}
	})
	for _, other := range []string{"", "f", "0123456789abcdef0123456789abcdef", "look 1", "look 1 p\n", "look 1 p\nx", "look 1 p\n\"t\" a b c", "look 1 p\n\"t\" lost x", "look 2 p"} {
		if l := parseLook(other); l != nil {
			t.Errorf("%q is read as %+v", other, l)
		}
	}
}

// The order of what a change asks for, and that a row which was written and looks
// as before counts as changed.
func TestChangesOfATable(t *testing.T) {
	was := tableLook{"p", "m", "i", "w", "h"}
	for _, test := range []struct {
		now  tableLook
		want change
	}{
		{was, unchanged},
		{tableLook{"p", "m", "i", "w2", "h2"}, harmless},
		{tableLook{"p", "m", "i", "w2", "h"}, reread},
		{tableLook{"p", "m", "i2", "w2", "h2"}, reidentify},
		{tableLook{"p", "m2", "i2", "w2", "h2"}, reread},
		{tableLook{"p2", "m2", "i2", "w2", "h2"}, republished},
		{tableLook{"p2", "m", "i", "w", "h"}, republished},
	} {
		if got := was.changed(test.now); got != test.want {
			t.Errorf("%v is %d, want %d", test.now, got, test.want)
		}
	}
	tables := []coherence.Table{{Name: "t"}, {Name: "u"}}
	l := &look{publication: "x", tables: map[string]tableLook{"t": was}, lost: map[string]string{"u": "gone"}}
	now := &look{publication: "x", tables: map[string]tableLook{"t": was, "u": was}}
	if !l.same(now, tables) {
		t.Error("a lost table counts")
	}
	if l.with(nil).same(now, tables) {
		t.Error("a table that has come doesn't count")
	}
	for i, broken := range []*look{nil, {publication: "y", tables: now.tables}, {publication: "x", tables: map[string]tableLook{"t": was}}} {
		if now.continues(broken, tables) {
			t.Errorf("a history goes on with %d", i)
		}
	}
	if !now.continues(l, tables) || !slices.Equal(slices.Sorted(maps.Keys(now.tables)), []string{"t", "u"}) {
		t.Error("a history with a lost table doesn't go on")
	}
}
