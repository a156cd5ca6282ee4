package depends

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"walpurge/internal/coherence"
	"walpurge/internal/expr"
	"walpurge/internal/http1"
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
		s := &Subject{Query: []byte(query)}
		op := s.Operand([]expr.Expr{{Source: expr.Query, Name: "city"}}, textColumn)
		if !slices.Equal(op.Values, want) || op.Present != (want != nil) {
			t.Errorf("%q: %q, want %q", query, op.Values, want)
		}
	}
	s := &Subject{Query: []byte("filter%5Bcity%5D=Lagos&filter%5Btype%5D=flat")}
	if op := s.Operand([]expr.Expr{{Source: expr.Query, Name: "filter[city]"}}, textColumn); !slices.Equal(op.Values, []string{"Lagos"}) {
		t.Errorf("a name with brackets: %q", op.Values)
	}
}

func TestFunctionsAndSources(t *testing.T) {
	params := []string{"id"}
	req := request(t, "/x", "X-Tenant: Acme", "X-Two: a", "X-Two: b", `Cookie: lang=DE; q="x"; twice=1; twice=2`)
	path := "/api/%46oo"
	for want, e := range map[string]expr.Expr{
		"[Foo]":   {Source: expr.Path, Name: "id"},
		"[foo]":   {Source: expr.Path, Name: "id", Funcs: []expr.Func{expr.Lower, expr.Trim}},
		"[FOO]":   {Source: expr.Path, Name: "id", Funcs: []expr.Func{expr.Upper}},
		"[Acme]":  {Source: expr.Header, Name: "x-tenant"},
		"[de]":    {Source: expr.Cookie, Name: "lang", Funcs: []expr.Func{expr.Lower}},
		"[It's;]": {Source: expr.Literal, Name: "It's;"},
	} {
		s := &Subject{Request: req, Params: params, Path: []byte(path), Places: []Span{{5, len(path)}}}
		if op := s.Operand([]expr.Expr{e}, textColumn); fmt.Sprint(op.Values) != want {
			t.Errorf("%s: %q, want %s", e, op.Values, want)
		}
	}
	s := &Subject{Request: req, Params: params, Path: []byte("/api/%C3%89"), Places: []Span{{5, 11}}}
	for _, e := range []expr.Expr{
		{Source: expr.Path, Name: "id", Funcs: []expr.Func{expr.Lower}},
		{Source: expr.Path, Name: "other"},
		{Source: expr.Header, Name: "x-two"},
		{Source: expr.Header, Name: "absent"},
		{Source: expr.Cookie, Name: "q"},
		{Source: expr.Cookie, Name: "twice"},
		{Source: expr.Cookie, Name: "LANG"},
	} {
		if op := s.Operand([]expr.Expr{e}, textColumn); op.Present {
			t.Errorf("%s gives %q, want no condition", e, op.Values)
		}
	}
	// One alternative that gives no condition takes the whole condition away.
	if op := s.Operand([]expr.Expr{{Source: expr.Literal, Name: "x"}, {Source: expr.Header, Name: "absent"}}, textColumn); op.Present {
		t.Error(op)
	}
}
