package main

import (
	"io"
	"net/http"
	"testing"
)

func TestStatusIsReadAsAWhole(t *testing.T) {
	for field, want := range map[string]cacheStatus{
		"walpurge; hit; ttl=3599":                                   {ours: true, hit: true},
		"walpurge; hit; ttl=-1; detail=change":                      {ours: true, hit: true, detail: "change"},
		"walpurge; fwd=uri-miss; fwd-status=200; stored":            {ours: true, forwarded: "uri-miss", asked: true, stored: true},
		"walpurge; fwd=uri-miss; fwd-status=200; stored; collapsed": {ours: true, forwarded: "uri-miss", asked: true, stored: true},
		"walpurge; fwd=uri-miss; fwd-status=200; detail=pending":    {ours: true, forwarded: "uri-miss", asked: true, detail: "pending"},
		"other; hit, walpurge; fwd=bypass; detail=unproven":         {ours: true, forwarded: "bypass", detail: "unproven"},
		"other; hit": {},
		"":           {},
	} {
		if got := readStatus([]string{field}); got != want {
			t.Errorf("%q: %+v, want %+v", field, got, want)
		}
	}
}

// TestCausesOfMisses: each step is an answer to one URL, in order.
func TestCausesOfMisses(t *testing.T) {
	const miss, hit = "walpurge; fwd=uri-miss; fwd-status=200; stored", "walpurge; hit; ttl=3600"
	for name, steps := range map[string][]struct {
		field string
		want  cause
	}{
		"kept, then purged twice":             {{miss, firstVisit}, {hit, fromCache}, {miss, afterPurge}, {miss, afterPurge}, {hit, fromCache}},
		"kept by another's request":           {{hit, fromCache}, {miss, afterPurge}},
		"changed while it was fetched":        {{"walpurge; fwd=uri-miss; fwd-status=200; detail=change", firstVisit}, {miss, afterPurge}},
		"asked for while a commit is open":    {{"walpurge; fwd=uri-miss; fwd-status=200; detail=pending", firstVisit}, {miss, afterPurge}},
		"never kept":                          {{"walpurge; fwd=uri-miss; fwd-status=200; detail=no-lifetime", elsewhere}, {"walpurge; fwd=uri-miss; fwd-status=200; detail=no-lifetime", elsewhere}},
		"first not kept, then kept":           {{"walpurge; fwd=uri-miss; fwd-status=500; detail=status", elsewhere}, {miss, firstVisit}},
		"its lifetime is over":                {{miss, firstVisit}, {"walpurge; fwd=stale; fwd-status=200; stored", elsewhere}, {hit, fromCache}},
		"no proof for a moment":               {{miss, firstVisit}, {"walpurge; fwd=bypass; detail=unproven", elsewhere}, {hit, fromCache}, {miss, afterPurge}},
		"no proof, and purged meanwhile":      {{miss, firstVisit}, {"walpurge; fwd=bypass; detail=unproven", elsewhere}, {miss, afterPurge}},
		"no proof on the first visit":         {{"walpurge; fwd=bypass; detail=unproven", elsewhere}, {miss, firstVisit}},
		"shown although a row has changed":    {{miss, firstVisit}, {"walpurge; hit; ttl=-1; detail=change", fromCache}},
		"shared with who asks for it as well": {{miss, firstVisit}, {miss + "; collapsed", afterPurge}},
		"no proxy":                            {{"", elsewhere}, {"", elsewhere}},
	} {
		v := newVisits()
		for i, step := range steps {
			if got := v.answered("/", v.kept("/"), readStatus([]string{step.field})); got != step.want {
				t.Errorf("%s, answer %d: %d, want %d", name, i+1, got, step.want)
			}
		}
		if v.kept("/other") {
			t.Errorf("%s: another page was kept", name)
		}
	}
}

// TestWhoAsksMeanwhileIsOnAFirstVisitToo: what counts is what was known when the request was sent.
func TestWhoAsksMeanwhileIsOnAFirstVisitToo(t *testing.T) {
	requests := make(chan chan struct{}, 2)
	url := handle(t, func(w http.ResponseWriter, _ *http.Request) {
		goOn := make(chan struct{})
		requests <- goOn
		<-goOn
		w.Header().Set("Cache-Status", "walpurge; fwd=uri-miss; fwd-status=200; stored")
	})
	c := newClient(2)
	causes := make(chan cause, 2)
	ask := func() {
		a, err := c.get(t.Context(), url, io.Discard)
		if err != nil {
			t.Error(err)
		}
		causes <- a.cause
	}
	go ask()
	go ask()
	first, second := <-requests, <-requests
	close(first)
	one := <-causes
	close(second)
	if two := <-causes; one != firstVisit || two != firstVisit {
		t.Errorf("two who ask at the same time: %d and %d", one, two)
	}
	go ask()
	close(<-requests)
	if three := <-causes; three != afterPurge {
		t.Errorf("who asks afterwards: %d", three)
	}
}
