package main

import (
	"io"
	"net/http"
	"testing"
)

func TestHitIsReadFromOurMember(t *testing.T) {
	for field, want := range map[string]bool{
		"walpurge; hit; ttl=3599":               true,
		"walpurge;hit":                          true,
		"walpurge; fwd=uri-miss; stored":        false,
		"walpurge; fwd=stale; detail=hit":       false,
		"walpurge; hit=?0":                      false,
		"other; hit":                            false,
		"other; fwd=miss, walpurge; hit; ttl=1": true,
		"other; hit, walpurge; fwd=bypass":      false,
		`"walpurge"; hit`:                       false,
		"walpurge; hit; hit; ;":                 false,
		"":                                      false,
	} {
		if got := readStatus([]string{field}).hit; got != want {
			t.Errorf("%q is a hit: %v, want %v", field, got, want)
		}
	}
	if readStatus(nil).hit {
		t.Error("no field at all is a hit")
	}
}

func TestServerErrorsAreErrors(t *testing.T) {
	url := handle(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	if _, err := newClient(1).get(t.Context(), url, io.Discard); err == nil {
		t.Error("502 is no error")
	}
}
