package depends

import (
	"slices"
	"testing"

	"github.com/dunglas/httpsfv"
)

// FuzzDependsOn looks for fields whose parameters we find elsewhere than the
// parser does.
func FuzzDependsOn(f *testing.F) {
	for _, s := range []string{`a;b=1, "c;d=\"1, 2";e, f; g=:aa==:;h=?1`, `%"a;b";c=@1`, `a;b="\\";c`, "a\t,\tb;c = 1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, field string) {
		params := readParams(field)
		list, err := httpsfv.UnmarshalList([]string{field})
		if err != nil {
			return
		}
		for i, member := range list {
			item, ok := member.(httpsfv.Item)
			if !ok {
				return // an inner list is refused
			}
			var keys []string
			for _, p := range params {
				if p.member == i && !slices.Contains(keys, p.key) {
					keys = append(keys, p.key)
				}
			}
			if !slices.Equal(keys, item.Params.Names()) {
				t.Fatalf("%q: member %d has the keys %q, and we find %q", field, i, item.Params.Names(), keys)
			}
		}
	})
}
