package main

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestAnOpenWriteMayConcernEverything(t *testing.T) {
	l := newLedger()
	w := l.begin()
	if now := time.Now(); !l.touched(page{id: 1}, now, now) {
		t.Error("not while it is open")
	}
	from := time.Now()
	l.end(w, &touch{ids: []int64{2}, cities: []string{"Accra", "Accra"}})
	if !l.touched(page{id: 2}, from, time.Now()) {
		t.Error("its own page is not touched")
	}
	if l.touched(page{id: 1}, from, time.Now()) {
		t.Error("another page is touched although the write is known now")
	}
}

func TestAStatementThatChangedNothingTouchesNothing(t *testing.T) {
	l := newLedger()
	start := time.Now()
	l.end(l.begin(), &touch{})
	for _, p := range []page{{id: 1}, {city: "Accra"}, {}} {
		if l.touched(p, start, time.Now()) {
			t.Errorf("%+v is touched", p)
		}
	}
}

func TestTheLedgerForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		start := time.Now()
		for range 10 {
			l.end(l.begin(), &touch{ids: []int64{1}})
			sleep(t.Context(), remembered/5) // on the bubble's clock
		}
		if n := len(l.closed); n > 6 {
			t.Errorf("%d entries are kept", n)
		}
		if !l.touched(page{id: 2}, start, start) {
			t.Error("what is forgotten counts as quiet")
		}
	})
}
