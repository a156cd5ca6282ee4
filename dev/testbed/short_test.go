package testbed

import (
	"flag"
	"testing"
)

func TestShortTestsAreAskedForByFlagOrVariable(t *testing.T) {
	short := flag.Lookup("test.short").Value
	before := short.String()
	t.Cleanup(func() { _ = short.Set(before) })
	for _, c := range []struct {
		flag, variable string
		want           bool
	}{{"false", "", false}, {"true", "", true}, {"false", "1", true}} {
		_ = short.Set(c.flag)
		t.Setenv(shortVariable, c.variable)
		if got := Short(); got != c.want {
			t.Errorf("-short=%s %s=%s: %v, want %v", c.flag, shortVariable, c.variable, got, c.want)
		}
	}
}
