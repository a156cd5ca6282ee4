package bench

import (
	"strings"
	"testing"
	"time"
)

func TestSummaryIsRead(t *testing.T) {
	l, err := parseLoad("Running 1s test @ http://127.0.0.1:1/\n  1 threads\nsummary 20000 1000500 44000000 0 1 0 2 3\n")
	if err != nil {
		t.Fatal(err)
	}
	if want := (load{requests: 20000, took: 1000500 * time.Microsecond, bytes: 44000000, failed: 6}); l != want {
		t.Errorf("got %+v, want %+v", l, want)
	}
	for _, out := range []string{"", "unable to connect\n", "summary 1 2 3\n", "summary a b c d e f g h\n"} {
		if l, err := parseLoad(out); err == nil {
			t.Errorf("%q: got %+v, want an error", out, l)
		}
	}
}

func TestLoadThatProvesNothingIsAnError(t *testing.T) {
	good := load{requests: 10, bytes: 10 * 2200}
	if err := good.prove(2048); err != nil {
		t.Error(err)
	}
	for want, l := range map[string]load{
		"no request was answered":                              {},
		"1 of 10 requests failed":                              {requests: 10, bytes: 22000, failed: 1},
		"10 answers hold 1500 bytes, less than bodies of 2048": {requests: 10, bytes: 1500},
	} {
		if err := l.prove(2048); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %s", l, err, want)
		}
	}
}
