package catalogue

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
		l := &Look{publication: rapid.StringMatching(`[0-9a-f]{0,32}`).Draw(t, "publication"), Lost: rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "lost")}
		l.tables = rapid.MapOf(rapid.String(), rapid.Custom(func(t *rapid.T) tableLook {
			return tableLook{word.Draw(t, "p"), word.Draw(t, "m"), word.Draw(t, "i"), word.Draw(t, "w"), word.Draw(t, "h")}
		})).Draw(t, "tables")
		got := ParseLook(l.String())
		if got == nil || got.publication != l.publication || !maps.Equal(got.tables, l.tables) || !maps.Equal(got.Lost, l.Lost) {
			t.Fatalf("%q is read as %+v", l.String(), got)
		}
	})
	for _, other := range []string{"", "f", "0123456789abcdef0123456789abcdef", "look 1", "look 1 p\n", "look 1 p\nx", "look 1 p\n\"t\" a b c", "look 1 p\n\"t\" lost x", "look 2 p"} {
		if l := ParseLook(other); l != nil {
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
		{tableLook{"p", "m", "i", "w2", "h"}, Reread},
		{tableLook{"p", "m", "i2", "w2", "h2"}, Reidentify},
		{tableLook{"p", "m2", "i2", "w2", "h2"}, Reread},
		{tableLook{"p2", "m2", "i2", "w2", "h2"}, Republished},
		{tableLook{"p2", "m", "i", "w", "h"}, Republished},
	} {
		if got := was.changed(test.now); got != test.want {
			t.Errorf("%v is %d, want %d", test.now, got, test.want)
		}
	}
	tables := []coherence.Table{{Name: "t"}, {Name: "u"}}
	l := &Look{publication: "x", tables: map[string]tableLook{"t": was}, Lost: map[string]string{"u": "gone"}}
	now := &Look{publication: "x", tables: map[string]tableLook{"t": was, "u": was}}
	if !l.Same(now, tables) {
		t.Error("a lost table counts")
	}
	if l.With(nil).Same(now, tables) {
		t.Error("a table that has come doesn't count")
	}
	if l.Same(&Look{publication: "y", tables: now.tables}, tables) {
		t.Error("another publication doesn't count")
	}
	for i, broken := range []*Look{nil, {publication: "y", tables: now.tables}, {publication: "x", tables: map[string]tableLook{"t": was}}} {
		if now.Continues(broken, tables) {
			t.Errorf("a history goes on with %d", i)
		}
	}
	if !now.Continues(l, tables) || !slices.Equal(slices.Sorted(maps.Keys(now.tables)), []string{"t", "u"}) {
		t.Error("a history with a lost table doesn't go on")
	}
}
