package querycache

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"walpurge/internal/coherence"
)

func TestValueRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := stored{
			epoch: coherence.Epoch(rapid.Uint64().Draw(t, "epoch")), asof: coherence.LSN(rapid.Uint64().Draw(t, "asof")),
			key: rapid.String().Draw(t, "key"), json: []byte(rapid.String().Draw(t, "json")),
		}
		b := s.encode()
		back, ok := decode(b)
		if !ok || back.epoch != s.epoch || back.asof != s.asof || back.key != s.key || string(back.json) != string(s.json) {
			t.Fatalf("%v comes back as %v, %t", s, back, ok)
		}
		at := rapid.IntRange(0, len(b)-1).Draw(t, "place")
		b[at] ^= byte(rapid.IntRange(1, 255).Draw(t, "flip"))
		if _, ok := decode(b); ok {
			t.Fatalf("decodes with byte %d changed", at)
		}
		if _, ok := decode(b[:at]); ok {
			t.Fatalf("decodes without the end")
		}
	})
}

func TestShapeTellsResultsApart(t *testing.T) {
	type inner struct{ A int }
	type one struct{ X []inner }
	type list struct{ Next *list }
	shapes := map[string]reflect.Type{}
	for _, typ := range []reflect.Type{
		reflect.TypeFor[inner](), reflect.TypeFor[one](), reflect.TypeFor[list](), reflect.TypeFor[[]inner](), reflect.TypeFor[map[string]inner](),
		reflect.TypeFor[struct{ A int }](), reflect.TypeFor[struct {
			A int `json:"a"`
		}](), reflect.TypeFor[struct{ A int64 }](), reflect.TypeFor[struct{ A *int64 }](),
	} {
		s := shapeOf(typ)
		if other, ok := shapes[s]; ok {
			t.Errorf("%v and %v are both %s", typ, other, s)
		}
		shapes[s] = typ
	}
}
