package rfc9111

import "testing"

func TestDraftNoVarySearchSection5Parsing(t *testing.T) {
	for v, want := range map[string]struct {
		unordered, a, b bool // whether a and b count
	}{
		"":                             {false, true, true},
		"key-order":                    {true, true, true},
		"key-order=?0":                 {false, true, true},
		"params":                       {false, false, false},
		"params=?0":                    {false, true, true},
		`params=("a")`:                 {false, false, true},
		`params=("%61" "c+d")`:         {false, false, true},
		`params, except=("a")`:         {false, true, false},
		`key-order, params=("b"), x=1`: {true, true, false},
		// What can't be read is as if absent.
		`key-order, params="a"`:         {false, true, true},
		`params=("a" 1)`:                {false, true, true},
		`params=("a"), except=("b")`:    {false, true, true},
		`key-order, except=("b")`:       {false, true, true},
		`key-order=1, params`:           {false, true, true},
		`key-order, params=("a`:         {false, true, true},
		`params, except="a"`:            {false, true, true},
		`params, except=("a"), except=`: {false, true, true},
	} {
		s := ParseSearch(parse("No-Vary-Search: " + v))
		if s.Unordered != want.unordered || s.Counts("a") != want.a || s.Counts("b") != want.b {
			t.Errorf("%s: %+v", v, s)
		}
		if trivial := !want.unordered && want.a && want.b; s.Trivial() != trivial || !s.Equal(s) || s.Equal(Search{}) != trivial {
			t.Errorf("%s: %+v", v, s)
		}
	}
	if s := ParseSearch(parse("No-Vary-Search: params=(\"c+d\")")); s.Counts("c d") {
		t.Errorf("%+v", s)
	}
}
