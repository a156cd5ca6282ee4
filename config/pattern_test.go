package config

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// matches says in the plainest way what Pattern promises.
func matches(p Pattern, path string) bool {
	parts := strings.Split(path[1:], "/")
	for i, s := range p.Segments {
		switch {
		case i >= len(parts):
			return false
		case s.Kind == RestSegment:
			return true
		case s.Kind == ParameterSegment && parts[i] == "", s.Kind == LiteralSegment && parts[i] != s.Text:
			return false
		}
	}
	return len(parts) == len(p.Segments)
}

func drawPattern(t *rapid.T) Pattern {
	parts := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "{p}"}), 0, 3).Draw(t, "segments")
	for i := range parts {
		if parts[i] == "{p}" {
			parts[i] = "{p" + string(rune('0'+i)) + rapid.SampledFrom([]string{"", "x"}).Draw(t, "name") + "}"
		}
	}
	parts = append(parts, rapid.SampledFrom([]string{"", "a", "{z}", "{rest...}", "{others...}"}).Draw(t, "last"))
	p, err := ParsePattern("/" + strings.Join(parts, "/"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// paths is every path of up to four segments out of "a", "b", "c" and, at the end, "".
func paths() []string {
	all, last := []string{}, []string{""}
	for range 4 {
		var next []string
		for _, p := range last {
			for _, s := range []string{"a", "b", "c"} {
				next = append(next, p+"/"+s)
			}
			all = append(all, p+"/")
		}
		all, last = append(all, next...), next
	}
	return all
}

func TestPatternsTieOnlyWhenTheyMatchTheSamePaths(t *testing.T) {
	all := paths()
	rapid.Check(t, func(t *rapid.T) {
		p, q := drawPattern(t), drawPattern(t)
		onlyP, onlyQ := 0, 0
		for _, path := range all {
			switch inP, inQ := matches(p, path), matches(q, path); {
			case inP && !inQ:
				onlyP++
			case inQ && !inP:
				onlyQ++
			}
		}
		c := p.Compare(q)
		if (c == 0) != (onlyP+onlyQ == 0) || (c == 0) != (p.shape() == q.shape()) || c != -q.Compare(p) {
			t.Fatalf("%v and %v compare as %d; they differ in %d and %d paths", p, q, c, onlyP, onlyQ)
		}
	})
}

func TestANarrowerPatternGoesFirst(t *testing.T) {
	all := paths()
	rapid.Check(t, func(t *rapid.T) {
		p, q := drawPattern(t), drawPattern(t)
		inP := slices.DeleteFunc(slices.Clone(all), func(path string) bool { return !matches(p, path) })
		inQ := slices.DeleteFunc(slices.Clone(all), func(path string) bool { return !matches(q, path) })
		within := !slices.ContainsFunc(inP, func(path string) bool { return !slices.Contains(inQ, path) })
		if len(inP) > 0 && len(inP) < len(inQ) && within && p.Compare(q) >= 0 {
			t.Fatalf("%v lies within %v but does not go before it", p, q)
		}
	})
}

func TestCompareIsAnOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, q, r := drawPattern(t), drawPattern(t), drawPattern(t)
		if p.Compare(q) <= 0 && q.Compare(r) <= 0 && p.Compare(r) > 0 {
			t.Fatalf("%v, %v, %v are not in order", p, q, r)
		}
	})
}
