package subprocess

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTailBeginsAtALine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	long := strings.Repeat("0123456789abcde\n", tailBytes/16) // as much as there is room for
	for _, c := range []struct {
		text   string
		offset int64
		want   string
	}{
		{"", 0, ""},
		{"one\ntwo\n", 0, "one\ntwo"},
		{"one\ntwo\n", 4, "two"},
		{"one\ntwo\n", 2, "e\ntwo"}, // from where the caller says
		{long, 0, strings.TrimSpace(long)},
		{"first\n" + long, 0, strings.TrimSpace(long[16:])},
		{"one\n", 100, ""},
	} {
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := Tail(path, c.offset); got != c.want {
			t.Errorf("of %d bytes from %d: %d bytes %.20q, want %d bytes %.20q", len(c.text), c.offset, len(got), got, len(c.want), c.want)
		}
	}
	if got := Tail(path+".none", 0); !strings.Contains(got, "no such file") {
		t.Errorf("of no file: %q", got)
	}
}
