package route

import (
	"slices"
	"strings"
	"testing"

	"walpurge/internal/coherence"
	"walpurge/internal/expr"
	"walpurge/internal/http1"
	"walpurge/internal/proxycache/depends"
)

// request makes a request of a target and fields "Name: value".
func request(t testing.TB, target string, fields ...string) *http1.Request {
	t.Helper()
	head := "GET " + target + " HTTP/1.1\r\nHost: a\r\n" + strings.Join(append(fields, ""), "\r\n") + "\r\n"
	req, err := http1.NewRequest([]byte(head))
	if err != nil {
		t.Fatal(err)
	}
	return req
}

var cityColumn = &coherence.Column{Name: "city", Kind: coherence.Text}

func TestMostSpecificRouteWins(t *testing.T) {
	var r router
	for _, p := range []string{"/a/{x}", "/a/b", "/a/{rest...}", "/{y}/b", "/a/{x}/c", "/", "/sp%20ace"} {
		if err := r.add(&Route{Declaration: Declaration{Pattern: p}}); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		"/a/b": "/a/b", "/a/%62": "/a/b", "/a/z": "/a/{x}", "/a/z/c": "/a/{x}/c", "/a/b/c": "/a/{x}/c", "/a/z/d": "/a/{rest...}", "/a/": "/a/{rest...}",
		"/q/b": "/{y}/b", "/": "/", "/sp%20ace": "/sp%20ace", "/q": "", "/a": "", "/q/b/": "",
	} {
		var found places
		got := ""
		if rt := r.match([]byte(path), &found); rt != nil {
			got = rt.Pattern
			if found.n != len(rt.Params) {
				t.Errorf("%s: %d parameters, want %d", path, found.n, len(rt.Params))
			}
		}
		if got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	for _, p := range []string{"/a/{z}", "/a/{other...}", "/a/b"} {
		if err := r.add(&Route{Declaration: Declaration{Pattern: p}}); err == nil {
			t.Errorf("%s ties and is accepted", p)
		}
	}
}

func TestRFC9111Section2Key(t *testing.T) {
	rt := func(q QueryRule, keys ...Key) *Route {
		return &Route{Declaration: Declaration{Query: q}, Keys: keys}
	}
	key := func(rt *Route, target string, fields ...string) string {
		req := request(t, target, fields...)
		path, query, has := http1.SplitTarget(req)
		k, _ := AppendKey(nil, false, req, nil, rt, path, query, has)
		return string(k)
	}
	without := rt(QueryRule{Names: []string{"utm_source"}})
	only := rt(QueryRule{Only: true, Names: []string{"b", "a"}})
	for _, c := range []struct{ got, want string }{
		{key(rt(QueryRule{}), "/x?b=1&a=2"), "http://a/x?b=1&a=2"},
		{key(rt(QueryRule{}), "/x?"), "http://a/x?"},
		{key(without, "/x?b=1&utm_source=y&a=2"), "http://a/x?b=1&a=2"},
		{key(without, "/x?utm%5Fsource=y"), "http://a/x"},
		{key(only, "/x?c=9&b=1&a=2&b=0"), "http://a/x?a=2&b=1&b=0"},
		{key(rt(QueryRule{}, Key{expr.Header, "x-t"}), "/x", "X-T: 1"), "http://a/x\nx-t=1"},
		{key(rt(QueryRule{}, Key{expr.Header, "x-t"}), "/x"), "http://a/x\nx-t"},
		{key(rt(QueryRule{}, Key{expr.Cookie, "c"}), "/x", "Cookie: b=1; c=2"), "http://a/x\ncookie.c=2"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
	req := request(t, "http://SHOP.example:80/x")
	if k, _ := AppendKey(nil, false, req, nil, nil, req.Target, nil, false); string(k) != "http://shop.example/x" {
		t.Errorf("%q", k)
	}
}

// FuzzValues looks for requests that make the reading of values panic or
// give a value that can't be compared.
func FuzzValues(f *testing.F) {
	f.Add("/api/listings/4%322?city=La%67os&city=x;y&min_price=1")
	f.Fuzz(func(t *testing.T, target string) {
		req, err := http1.NewRequest([]byte("GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n"))
		if err != nil {
			return
		}
		path, query, _ := http1.SplitTarget(req)
		if !http1.CleanPath(path) {
			return
		}
		var r router
		rt := &Route{Declaration: Declaration{Pattern: "/api/listings/{id}"}}
		_ = r.add(rt)
		var found places
		r.match(path, &found)
		s := &depends.Subject{Request: req, Path: path, Query: query, Params: rt.Params, Places: found.at[:found.n]}
		for _, e := range []expr.Expr{{Source: expr.Query, Name: "city"}, {Source: expr.Path, Name: "id", Funcs: []expr.Func{expr.Lower}}} {
			for _, v := range s.Operand([]expr.Expr{e}, cityColumn).Values {
				if !depends.Plain(v) || depends.Trimmable(v) {
					t.Fatalf("%s of %q is %q", e, target, v)
				}
			}
		}
	})
}

// TestEverySourceIsInTheKey: what a condition reads tells pages apart, so each
// source that the URL doesn't hold, nor the response, is a part of the key (C5).
func TestEverySourceIsInTheKey(t *testing.T) {
	elsewhere := []expr.Source{expr.Path, expr.Query, expr.Body, expr.Literal}
	for s := expr.Source(0); s <= expr.Literal; s++ {
		rt := &Route{}
		rt.addExpr(&expr.Expr{Source: s, Name: "x"})
		if want := !slices.Contains(elsewhere, s); (len(rt.Keys) == 1) != want {
			t.Errorf("%s: the key has %v", s, rt.Keys)
		}
	}
}
