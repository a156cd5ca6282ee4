package proxycache

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"walpurge/internal/coherence"
	"walpurge/internal/http1"
)

// ask makes a request of a target and fields "Name: value".
func request(t testing.TB, target string, fields ...string) *http1.Request {
	t.Helper()
	head := "GET " + target + " HTTP/1.1\r\nHost: a\r\n" + strings.Join(append(fields, ""), "\r\n") + "\r\n"
	req, err := http1.NewRequest([]byte(head))
	if err != nil {
		t.Fatal(err)
	}
	return req
}

var textColumn = &coherence.Column{Name: "city", Kind: coherence.Text}

func TestQueryValues(t *testing.T) {
	none := []string(nil)
	for query, want := range map[string][]string{
		"city=Lagos":               {"Lagos"},
		"a=b&city=Lagos&c":         {"Lagos"},
		"city=Lagos&city=Accra":    {"Lagos", "Accra", "Lagos,Accra"},
		"city=New+York%21":         {"New York!"},
		"city=%E2%82%AC":           {"€"},
		"":                         none,
		"city":                     none,
		"city=":                    none,
		"city=+%20":                none,
		"city=&city=Lagos":         none,
		"City=Lagos":               none,
		"city=Lagos&CITY=Accra":    none,
		"c%69ty=Lagos":             none,
		"city=Lagos&c%2569ty=x":    none,
		"city[]=Lagos":             none,
		"city=Lagos&city[0]=Accra": none,
		"city=Lagos&+city=Accra":   none,
		"city=Lagos;x":             none,
		"x=1;city=Accra":           none,
		"city=Lagos&x=1;city=y":    none,
		"city=%3Bx":                none,
		"city=%zz":                 none,
		"%zz=1&city=Lagos":         none,
		"city=%ff":                 none,
		"city=a%00b":               none,
		"city%00=Lagos":            none,
		"other%5B%5D=1&city=Lagos": {"Lagos"},
	} {
		s := &subject{query: []byte(query)}
		op := s.operand([]Expr{{Source: Query, Name: "city"}}, textColumn)
		if !slices.Equal(op.Values, want) || op.Present != (want != nil) {
			t.Errorf("%q: %q, want %q", query, op.Values, want)
		}
	}
	s := &subject{query: []byte("filter%5Bcity%5D=Lagos&filter%5Btype%5D=flat")}
	if op := s.operand([]Expr{{Source: Query, Name: "filter[city]"}}, textColumn); !slices.Equal(op.Values, []string{"Lagos"}) {
		t.Errorf("a name with brackets: %q", op.Values)
	}
}

func TestFunctionsAndSources(t *testing.T) {
	rt := &route{params: []string{"id"}}
	req := request(t, "/x", "X-Tenant: Acme", "X-Two: a", "X-Two: b", `Cookie: lang=DE; q="x"; twice=1; twice=2`)
	path := "/api/%46oo"
	for want, e := range map[string]Expr{
		"[Foo]":   {Source: Path, Name: "id"},
		"[foo]":   {Source: Path, Name: "id", Funcs: []Func{Lower, Trim}},
		"[FOO]":   {Source: Path, Name: "id", Funcs: []Func{Upper}},
		"[Acme]":  {Source: Header, Name: "x-tenant"},
		"[de]":    {Source: Cookie, Name: "lang", Funcs: []Func{Lower}},
		"[It's;]": {Source: Literal, Name: "It's;"},
	} {
		s := &subject{req: req, route: rt, path: []byte(path), places: []span{{5, len(path)}}}
		if op := s.operand([]Expr{e}, textColumn); fmt.Sprint(op.Values) != want {
			t.Errorf("%s: %q, want %s", e, op.Values, want)
		}
	}
	s := &subject{req: req, route: rt, path: []byte("/api/%C3%89"), places: []span{{5, 11}}}
	for _, e := range []Expr{
		{Source: Path, Name: "id", Funcs: []Func{Lower}},
		{Source: Path, Name: "other"},
		{Source: Header, Name: "x-two"},
		{Source: Header, Name: "absent"},
		{Source: Cookie, Name: "q"},
		{Source: Cookie, Name: "twice"},
		{Source: Cookie, Name: "LANG"},
	} {
		if op := s.operand([]Expr{e}, textColumn); op.Present {
			t.Errorf("%s gives %q, want no condition", e, op.Values)
		}
	}
	// One alternative that gives no condition takes the whole condition away.
	if op := s.operand([]Expr{{Source: Literal, Name: "x"}, {Source: Header, Name: "absent"}}, textColumn); op.Present {
		t.Error(op)
	}
}

func TestMostSpecificRouteWins(t *testing.T) {
	var r router
	for _, p := range []string{"/a/{x}", "/a/b", "/a/{rest...}", "/{y}/b", "/a/{x}/c", "/", "/sp%20ace"} {
		if err := r.add(&route{Route: Route{Pattern: p}}); err != nil {
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
			if found.n != len(rt.params) {
				t.Errorf("%s: %d parameters, want %d", path, found.n, len(rt.params))
			}
		}
		if got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	for _, p := range []string{"/a/{z}", "/a/{other...}", "/a/b"} {
		if err := r.add(&route{Route: Route{Pattern: p}}); err == nil {
			t.Errorf("%s ties and is accepted", p)
		}
	}
}

func TestRFC9111Section2Key(t *testing.T) {
	rt := func(q QueryRule, keys ...Key) *route { return &route{Route: Route{Query: q}, keys: keys} }
	key := func(rt *route, target string, fields ...string) string {
		req := request(t, target, fields...)
		path, query, has := http1.SplitTarget(req)
		k, _ := appendKey(nil, false, req, nil, rt, path, query, has)
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
		{key(rt(QueryRule{}, Key{Header, "x-t"}), "/x", "X-T: 1"), "http://a/x\nx-t=1"},
		{key(rt(QueryRule{}, Key{Header, "x-t"}), "/x"), "http://a/x\nx-t"},
		{key(rt(QueryRule{}, Key{Cookie, "c"}), "/x", "Cookie: b=1; c=2"), "http://a/x\ncookie.c=2"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
	req := request(t, "http://SHOP.example:80/x")
	if k, _ := appendKey(nil, false, req, nil, nil, req.Target, nil, false); string(k) != "http://shop.example/x" {
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
		rt := &route{Route: Route{Pattern: "/api/listings/{id}"}}
		_ = r.add(rt)
		var found places
		r.match(path, &found)
		s := &subject{req: req, path: path, query: query, route: rt, places: found.at[:found.n]}
		for _, e := range []Expr{{Source: Query, Name: "city"}, {Source: Path, Name: "id", Funcs: []Func{Lower}}} {
			for _, v := range s.operand([]Expr{e}, textColumn).Values {
				if !plain(v) || trimmable(v) {
					t.Fatalf("%s of %q is %q", e, target, v)
				}
			}
		}
	})
}
