package http1

import (
	"strings"
	"testing"
)

func TestKnownFieldsAreKnownInAnyCase(t *testing.T) {
	for id := Host; int(id) < len(fieldNames); id++ {
		for _, name := range []string{id.String(), strings.ToUpper(id.String())} {
			if got := identify([]byte(name)); got != id {
				t.Errorf("%s is %d, want %d", name, got, id)
			}
		}
		if got := identify([]byte(strings.Repeat("z", len(id.String())))); got != Other {
			t.Errorf("%d for a name of %d bytes", got, len(id.String()))
		}
	}
}
