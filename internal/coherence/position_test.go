package coherence

import (
	"testing"

	"pgregory.net/rapid"
)

func TestLSNRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := LSN(rapid.Uint64().Draw(t, "lsn"))
		back, err := ParseLSN(l.String())
		if err != nil || back != l {
			t.Fatalf("%v comes back as %v, %v", l, back, err)
		}
	})
	for _, bad := range []string{"", "1", "/", "1/", "g/1", "1/1/1", "100000000/0"} {
		if l, err := ParseLSN(bad); err == nil {
			t.Errorf("%q parses as %v", bad, l)
		}
	}
}

func TestSnapshotComparesIdsModulo32Bits(t *testing.T) {
	for _, c := range []struct {
		snap string
		xid  uint32
		want bool
	}{
		{"10:20:", 19, true},
		{"10:20:", 20, false},
		{"10:20:", 21, false},
		{"10:20:15,17", 15, false},
		{"10:20:15,17", 16, true},
		{"10:20:15,17", 9, true},
		{"4294967290:4294967300:4294967295", 4294967295, false}, // 2^32-1 runs
		{"4294967290:4294967300:4294967295", 4294967294, true},  // before the wrap, ended
		{"4294967290:4294967300:", 3, true},                     // after the wrap, ended
		{"4294967290:4294967300:", 4, false},                    // = xmax
		{"4294967290:4294967300:4294967299", 3, false},          // after the wrap, runs
	} {
		s, err := ParseSnapshot(c.snap)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Finished(c.xid); got != c.want {
			t.Errorf("%s: Finished(%d) = %v, want %v", c.snap, c.xid, got, c.want)
		}
	}
	for _, bad := range []string{"", "1:2", "a:2:", "1:b:", "1:2:x", "1:2:3,"} {
		if s, err := ParseSnapshot(bad); err == nil {
			t.Errorf("%q parses as %v", bad, s)
		}
	}
}
