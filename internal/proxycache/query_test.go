package proxycache

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"walpurge/internal/proxycache/route"
	"walpurge/internal/proxycache/store"
)

// echo makes the origin number its responses and repeat the content.
func (r *rig) echo(fields ...string) {
	var mu sync.Mutex
	n := 0
	r.answer(func(w http.ResponseWriter, req *http.Request) {
		b, _ := io.ReadAll(req.Body)
		for _, f := range fields {
			name, value, _ := strings.Cut(f, ": ")
			w.Header().Add(name, value)
		}
		mu.Lock()
		defer mu.Unlock()
		n++
		_, _ = fmt.Fprint(w, n, " ", req.Method, " ", len(b), " ", string(b[:min(len(b), 20)]))
	})
}

func TestDraftSafeMethodWBodySection2QueryIsAnsweredByItsContent(t *testing.T) {
	r := newRig(t, plainHTTP)
	r.echo("Cache-Control: max-age=60", `Etag: "1"`)
	ask := func(body string, fields ...string) reply {
		return r.do("QUERY", "/a", strings.NewReader(body), append([]string{"Content-Type: text/plain"}, fields...)...)
	}
	r.want(ask("one"), "1 QUERY 3 one", "walpurge; fwd=uri-miss; fwd-status=200; stored")
	r.want(ask("one"), "1 QUERY 3 one", "walpurge; hit; ttl=59")
	r.want(ask("two"), "2 QUERY 3 two", "walpurge; fwd=uri-miss")
	r.want(r.do("QUERY", "/a", strings.NewReader("one"), "Content-Type: text/csv"), "3 QUERY 3 one", "walpurge; fwd=uri-miss")
	r.want(r.get("/a"), "4 GET 0 ", "walpurge; fwd=uri-miss")
	r.want(r.do("QUERY", "/b", strings.NewReader("one"), "Content-Type: text/plain"), "5 QUERY 3 one", "walpurge; fwd=uri-miss")
	if got := ask("one", `If-None-Match: "1"`); got.StatusCode != 304 {
		t.Error(got.Status)
	}
	// It is safe: it ends nothing. What is unsafe ends the answers to all questions.
	r.want(r.get("/a"), "4 GET 0 ", "walpurge; hit")
	r.do("POST", "/a", nil)
	r.want(ask("one"), "7 QUERY 3 one", "walpurge; fwd=uri-miss")
	r.want(ask("two"), "8 QUERY 3 two", "walpurge; fwd=uri-miss")
}

func TestDraftSafeMethodWBodySection2QueryIsKeptOnlyWithALifetime(t *testing.T) {
	for cc, kept := range map[string]bool{"max-age=60": true, "private": false, "no-store": false, "": false} {
		r := newRig(t, plainHTTP)
		r.echo("Cache-Control: "+cc, "Last-Modified: Wed, 01 Jan 2020 00:00:00 GMT")
		for range 2 {
			r.do("QUERY", "/a", strings.NewReader("one"))
		}
		if asked := r.asked(); (asked == 1) != kept {
			t.Errorf("%q: %d requests to the origin", cc, asked)
		}
	}
}

func TestDraftSafeMethodWBodySection2QueryThatIsTooLargePasses(t *testing.T) {
	for _, size := range []int{maxQuery, maxQuery + 1, 3 << 20} {
		r := newRig(t, plainHTTP)
		r.echo("Cache-Control: max-age=60")
		body := strings.Repeat("x", size)
		for range 2 {
			if got := r.do("QUERY", "/a", strings.NewReader(body)); !strings.Contains(got.body, fmt.Sprint("QUERY ", size, " ")) {
				t.Fatal(got.body)
			}
		}
		if asked := r.asked(); (asked == 1) != (size <= maxQuery) {
			t.Errorf("%d bytes: %d requests to the origin", size, asked)
		}
	}
}

func TestDraftSafeMethodWBodySection2QueryOnARouteWithDependenciesPasses(t *testing.T) {
	r := newRig(t, nil)
	r.echo("Cache-Control: max-age=60")
	for i := range 2 {
		r.want(r.do("QUERY", "/api/listings", strings.NewReader("city=Lagos")), fmt.Sprint(i+1, " QUERY 10 city=Lagos"), "walpurge; fwd=method")
	}
}

// sameSearch is a No-Vary-Search, two queries, and whether the response to the
// first answers the second.
type sameSearch struct {
	field, first, second string
	reused               bool
}

func testSearch(t *testing.T, cases []sameSearch) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.field+" "+c.first+" "+c.second, func(t *testing.T) {
			r := newRig(t, plainHTTP)
			fields := []string{"Cache-Control: max-age=60", "Vary: X-Foo"}
			if c.field != "" {
				fields = append(fields, "No-Vary-Search: "+c.field)
			}
			r.counted(200, fields...)
			r.get("/a?"+c.first, "X-Foo: 1")
			path := "/a"
			if c.second != "" {
				path += "?" + c.second
			}
			if got := r.get(path, "X-Foo: 1"); (got.body == "1") != c.reused {
				t.Error(got.body, got.cacheStatus())
			}
			if got := r.get("/b?"+c.second, "X-Foo: 1"); got.body == "1" {
				t.Error("another path")
			}
			if got := r.get(path, "X-Foo: 2"); got.body == "1" {
				t.Error("another variant")
			}
			// An unsafe request ends it under every name.
			asked := r.asked()
			r.do("POST", path, nil)
			r.get("/a?"+c.first, "X-Foo: 1")
			if c.reused && r.asked() != asked+2 {
				t.Error("it outlived an unsafe request")
			}
		})
	}
}

func TestDraftNoVarySearchSection5WhatCannotBeReadIsAbsent(t *testing.T) {
	testSearch(t, []sameSearch{
		{`key-order=?0`, "a=1&b=2", "b=2&a=1", false},
		{`foo=1, params=("utm")`, "utm=1", "utm=2", true},
		{`params=("utm" 1)`, "utm=1", "utm=2", false},
		{`params="utm"`, "utm=1", "utm=2", false},
		{`except=("id")`, "id=1", "id=1&x=1", false},
		{`params=("utm"), except=("id")`, "utm=1", "utm=2", false},
		{`params=(`, "utm=1", "utm=2", false},
		{``, "utm=1", "utm=2", false},
	})
}

func TestDraftNoVarySearchSection6Comparing(t *testing.T) {
	testSearch(t, []sameSearch{
		{`params`, "a=1", "b=2", true},
		{`params`, "a=1", "", true},
		{`params=("utm")`, "a=1&utm=x", "a=1&utm=y", true},
		{`params=("utm")`, "a=1&utm=x", "a=1", true},
		{`params=("utm")`, "a=1&utm=x", "a=2&utm=x", false},
		{`params=("utm")`, "a=1&%75tm=x", "utm=1&a=%31", true},
		{`params=("a b")`, "a+b=1", "a%20b=2", true},
		{`params=("utm")`, "a=1&b=2", "b=2&a=1", false},
		{`key-order`, "a=1&b=2", "b=2&a=1", true},
		{`key-order`, "a=1&a=2", "a=2&a=1", false},
		{`params, except=("id")`, "id=1&x=1", "x=2&id=1", true},
		{`params, except=("id")`, "id=1&x=1", "id=2&x=1", false},
		{`key-order, params=("utm")`, "b=1&utm=1&a=2", "a=2&b=1", true},
	})
}

func TestDraftNoVarySearchSection7NotForRoutesWithDependencies(t *testing.T) {
	r := newRig(t, nil)
	r.counted(200, "No-Vary-Search: params")
	r.get("/api/listings?city=Lagos")
	if got := r.get("/api/listings?city=Abuja"); got.body != "2" {
		t.Fatal("a page of one city was shown for another")
	}
}

func TestDraftNoVarySearchSection7ARuleThatComesLater(t *testing.T) {
	r := newRig(t, plainHTTP)
	r.say("old", "Cache-Control: max-age=0", `Etag: "1"`)
	r.get("/a?x=1")
	r.say("new", "Cache-Control: max-age=60", "No-Vary-Search: params")
	r.get("/a?x=1")
	for _, q := range []string{"x=1", "x=2"} {
		r.want(r.get("/a?"+q), "new", "walpurge; hit")
	}
}

// A path whose responses have ever other rules must not make each look-up
// longer: the newest rules count.
func TestDraftNoVarySearchSection7RulesOfOnePathAreBounded(t *testing.T) {
	r := newRig(t, plainHTTP)
	for i := range store.MaxSearches + 1 {
		r.say(fmt.Sprint(i), "Cache-Control: max-age=60", fmt.Sprintf(`No-Vary-Search: params=("p%d")`, i))
		r.get(fmt.Sprintf("/a?p%d=first", i))
	}
	r.say("asked", "Cache-Control: max-age=60")
	for i := range store.MaxSearches + 1 {
		want := fmt.Sprint(i)
		if i == 0 {
			want = "asked"
		}
		if got := r.get(fmt.Sprintf("/a?p%d=second", i)); got.body != want {
			t.Errorf("rule %d: %q, want %q", i, got.body, want)
		}
	}
}

// What two rules leave of two queries may be the same.
func TestDraftNoVarySearchSection7EachResponseHasItsOwnRule(t *testing.T) {
	r := newRig(t, plainHTTP)
	r.say("of a", "Cache-Control: max-age=60", `No-Vary-Search: params=("a")`)
	r.get("/x?a=1")
	r.say("of b", "Cache-Control: max-age=60", `No-Vary-Search: params=("b")`)
	r.want(r.get("/x?b=1"), "of b", "walpurge; fwd")
	r.want(r.get("/x?a=2"), "of a", "walpurge; hit")
	r.want(r.get("/x?b=2"), "of b", "walpurge; hit")
}

// A rule that has been forgotten and comes back must not bring back what an
// unsafe request could not find meanwhile.
func TestDraftNoVarySearchSection7AForgottenRuleBringsNothingBack(t *testing.T) {
	r := newRig(t, plainHTTP)
	const ignored = `No-Vary-Search: params=("utm")`
	r.say("old", "Cache-Control: max-age=60", ignored)
	r.get("/a?id=1&utm=x")
	for i := range store.MaxSearches {
		r.say("other", "Cache-Control: max-age=60", fmt.Sprintf(`No-Vary-Search: params=("p%d")`, i))
		r.get(fmt.Sprintf("/a?p%d=1", i))
	}
	r.say("done")
	r.do("POST", "/a?id=1&utm=x", nil)
	r.say("new", "Cache-Control: max-age=60", ignored)
	r.get("/a?id=2&utm=x")
	if got := r.get("/a?id=1&utm=y"); got.body != "new" {
		t.Fatal(got.body, got.cacheStatus())
	}
}

func TestQueryParametersAreSorted(t *testing.T) {
	r := newRig(t, func(_ *rig, o *Options) { o.Routes[2].Query = route.QueryRule{Sort: true, Names: []string{"utm"}} })
	r.say("body", "Cache-Control: max-age=60")
	r.get("/plain/a?b=2&a=1&b=1&utm=x")
	r.want(r.get("/plain/a?a=1&b=2&b=1"), "body", "walpurge; hit")
	if got := r.get("/plain/a?a=1&b=1&b=2"); strings.HasPrefix(got.cacheStatus(), "walpurge; hit") {
		t.Error("the order of one parameter's values doesn't count")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.requests[0] != "GET /plain/a?a=1&b=2&b=1" {
		t.Error("the origin got", r.requests[0])
	}
}
