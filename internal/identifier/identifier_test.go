package identifier

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestTablesAreReadInParts(t *testing.T) {
	for text, want := range map[string]Table{
		`listings`:               {"public", "listings"},
		`app.listings`:           {"app", "listings"},
		`App.Listings`:           {"App", "Listings"}, // nothing is folded
		`"a.b".outbox`:           {"a.b", "outbox"},
		`a."b.outbox"`:           {"a", "b.outbox"},
		`"a.b.outbox"`:           {"public", "a.b.outbox"},
		`"say ""x""".t`:          {`say "x"`, "t"},
		`"""".""""`:              {`"`, `"`},
		`app.Price list`:         {"app", "Price list"},
		`we"ird`:                 {"public", `we"ird`},
		`Größe`:                  {"public", "Größe"},
		`a.b.outbox`:             {},
		``:                       {},
		`.`:                      {},
		`a.`:                     {},
		`.b`:                     {},
		`a..b`:                   {},
		`""`:                     {},
		`"".x`:                   {},
		`"a`:                     {},
		`"a"b`:                   {},
		`"a""`:                   {},
		`"a".`:                   {},
		`"a"."b"."c"`:            {},
		strings.Repeat(`"`, 101): {},
	} {
		got, ok := ParseTableLoosely(text)
		if got != want || ok != (want != Table{}) {
			t.Errorf("%s is %+v, %v, want %+v", text, got, ok, want)
		}
		if text == "app.Price list" || text == `we"ird` {
			want = Table{}
		}
		if got, ok := ParseTable(text); got != want || ok != (want != Table{}) {
			t.Errorf("%s of a file is %+v, %v, want %+v", text, got, ok, want)
		}
	}
}

func TestColumnsAreReadWhole(t *testing.T) {
	for text, want := range map[string]string{
		`city`: "city", `a.b`: "a.b", `price (eur)`: "price (eur)", `5" disc`: `5" disc`,
		`"price (eur)"`: "price (eur)", `"a"`: "a", `"a ""b"" c"`: `a "b" c`, `"""a"""`: `"a"`,
		``: "", `""`: "", `"`: "", `"a`: "", `"a" `: "", `"a"b`: "", `"a"."b"`: "",
	} {
		if got, ok := ParseColumn(text); ok != (want != "") || ok && got != want {
			t.Errorf("%s is %q, %v, want %q", text, got, ok, want)
		}
	}
}

func TestOnlyWhatNeedsQuotesHasThem(t *testing.T) {
	for part, want := range map[string]string{
		"listings": "listings", "Listings": "Listings", "select": "select", "größe": "größe", "a-b": "a-b", "1st": "1st", "a:b#": "a:b#",
		"a.b": `"a.b"`, "a b": `"a b"`, `a"b`: `"a""b"`, "f(x)": `"f(x)"`, "a,b": `"a,b"`, "it's": `"it's"`, "": `""`,
		"a\tb": "\"a\tb\"", "a\u00a0b": "\"a\u00a0b\"", "a\u200bb": "\"a\u200bb\"",
	} {
		if got := Quote(part); got != want {
			t.Errorf("%q is written %s, want %s", part, got, want)
		}
	}
	if got := (Table{"public", "a.b"}).Short() + " " + (Table{"a.b", "c"}).Short(); got != `"a.b" "a.b".c` {
		t.Error(got)
	}
	for name, want := range map[string]string{
		"listings": "listings", "a.b": "a.b", "Größe": "Größe", `"a.b".c`: `'"a.b".c'`, "a:b": "'a:b'", "Null": "'Null'", "1": "'1'", `"it's"`: `'"it''s"'`,
	} {
		if got := InFile(name); got != want {
			t.Errorf("%s is written %s in a file, want %s", name, got, want)
		}
	}
	for text, want := range map[string]string{"listings": "public.listings", `"a"."b"`: "a.b", "public.Price list": `public."Price list"`, "a.b.c": "a.b.c"} {
		if got := Canonical(text); got != want {
			t.Errorf("%s is canonically %s, want %s", text, got, want)
		}
	}
}

// TestNamesSurviveBeingWritten: what is written is read back, so no two
// tables are written alike, and neither are two lists of columns.
func TestNamesSurviveBeingWritten(t *testing.T) {
	part := rapid.StringOfN(rapid.RuneFrom([]rune(`ab."'(), Aé`+"\t")), 1, 6, -1)
	rapid.Check(t, func(t *rapid.T) {
		a := Table{part.Draw(t, "schema"), part.Draw(t, "name")}
		for _, text := range []string{a.String(), a.Short()} {
			if got, ok := ParseTable(text); !ok || got != a {
				t.Fatalf("%+v is written %s and read as %+v, %v", a, text, got, ok)
			}
		}
		if got := Canonical(a.String()); got != a.String() {
			t.Fatalf("%s is not canonical: %s", a, got)
		}
		if got, ok := ParseColumn(Quote(a.Name)); !ok || got != a.Name {
			t.Fatalf("%q is written %s and read as %q, %v", a.Name, Quote(a.Name), got, ok)
		}
	})
}

func TestAnyTextIsReadOrRefused(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(rapid.RuneFrom([]rune(`a."'`)), 0, 12, -1).Draw(t, "text")
		loose, ok := ParseTableLoosely(text)
		if strict, also := ParseTable(text); also && (!ok || strict != loose) {
			t.Fatalf("%s is %+v, or %+v", text, strict, loose)
		}
		if again, still := ParseTable(loose.String()); ok && (!still || again != loose) {
			t.Fatalf("%s is %+v, written %s and read as %+v", text, loose, loose, again)
		}
		_, _ = ParseColumn(text)
	})
}
