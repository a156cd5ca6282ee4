package coherence

import (
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// Whatever services make of a value, PostgreSQL's reading is among it, and
// each reading has a form: a condition never loses what the database finds.
func TestReadingsHoldWhatIsSaid(t *testing.T) {
	said := rapid.OneOf(
		rapid.StringMatching(`[-+]?[0-9]{1,19}(\.[0-9]{0,9})?`),
		rapid.StringMatching(`(1[0-9]|20)[0-9]{2}-[01][0-9]-[0-3][0-9]([T ][0-2][0-9]:[0-5][0-9](:[0-5][0-9](\.[0-9]{1,7})?)?(Z|[-+][01][0-9](:?[0-5][0-9])?)?)?`),
		rapid.Map(rapid.Int64(), func(n int64) string { return strconv.FormatInt(n, 10) }), // beyond what a double names too
		rapid.Map(rapid.StringMatching(`[0-9]{4,9}`), func(digits string) string { return "2026-07-01T10:20:30." + digits }),
		rapid.Map(rapid.StringMatching(`[0-9]{4,9}[-+]0[1-9]:30`), func(digits string) string { return "2026-07-01T10:20:30." + digits }),
		rapid.SampledFrom([]string{"true", "f", "1", "null", "", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}"}),
		rapid.String(),
	)
	rapid.Check(t, func(t *rapid.T) {
		v := said.Draw(t, "said")
		for kind := Opaque; kind <= Enum; kind++ {
			c := Column{Kind: kind, Labels: []string{"1", "f", "null"}}
			values, ok := c.Readings(v)
			if !ok {
				continue
			}
			if !slices.Contains(values, v) {
				t.Fatalf("%s %q is read as %q", kind, v, values)
			}
			if _, ok := kind.canonical(nil, []byte(v)); !ok {
				t.Fatalf("%s %q has no form", kind, v)
			}
		}
	})
}
