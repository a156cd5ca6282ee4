package pgerror

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"walpurge/dev/testbed"
)

func TestMain(m *testing.M) { testbed.Main(m) }

func TestFailedConnectionIsOneLine(t *testing.T) {
	url := testbed.Database(t)
	server := strings.TrimPrefix(url[:strings.LastIndexByte(url, '/')], "postgres://postgres@")
	for _, test := range []struct{ url, want string }{
		{"postgres://postgres@" + server + "/nothing", "open: the server at 127.0.0.1:PORT says: database \"nothing\" does not exist (SQLSTATE 3D000)"},
		{"postgres://nobody:secret@" + server + "/x", "open: the server at 127.0.0.1:PORT says: role \"nobody\" does not exist (SQLSTATE 28000)"},
		{"postgres://someone:secret@127.0.0.1:1/x", "open: dial tcp 127.0.0.1:1: connect: connection refused"},
		{"postgres://someone:secret@nowhere.invalid/x", "open: lookup nowhere.invalid"},
	} {
		_, err := pgx.Connect(t.Context(), test.url)
		if err == nil {
			t.Fatalf("%s can be reached", test.url)
		}
		got := Line(fmt.Errorf("open: %w", err))
		if want := strings.Replace(test.want, "127.0.0.1:PORT", server, 1); !strings.HasPrefix(got, want) || strings.ContainsAny(got, "\n\t") || strings.Contains(got, "secret") {
			t.Errorf("%s: %q, want %q", test.url, got, want)
		}
	}
	if got := Line(errors.New("one\n\ttwo")); got != "one\n\ttwo" {
		t.Error(got)
	}
}
