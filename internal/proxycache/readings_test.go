package proxycache

import (
	"strings"
	"testing"
	"time"

	"walpurge/internal/coherence"
	"walpurge/internal/expr"
	"walpurge/internal/proxycache/depends"
	"walpurge/internal/proxycache/route"
)

// readTable has a column of each kind that services read values for.
var readTable = []coherence.Table{{Name: "public.things", Columns: []coherence.Column{
	{Name: "text", Kind: coherence.Text},
	{Name: "int", Kind: coherence.Integer},
	{Name: "num", Kind: coherence.Numeric},
	{Name: "bool", Kind: coherence.Boolean},
	{Name: "uuid", Kind: coherence.UUID},
	{Name: "date", Kind: coherence.Date},
	{Name: "ts", Kind: coherence.Timestamp},
	{Name: "tstz", Kind: coherence.TimestampTZ},
	{Name: "mood", Kind: coherence.Enum, Labels: []string{"ok", "null"}},
}}}

// readRoutes are for each column a page that asks for it by the parameter v,
// and one that asks by the path.
func readRoutes() []route.Declaration {
	var routes []route.Declaration
	add := func(pattern string, column int, fold coherence.Fold, e expr.Expr) {
		routes = append(routes, route.Declaration{Pattern: pattern, MaxLag: time.Hour, Depends: []depends.Dependency{{
			Template: coherence.Template{Equal: []coherence.Equal{{Column: column, Fold: fold}}}, Equal: [][]expr.Expr{{e}},
		}}})
	}
	for i, c := range readTable[0].Columns {
		add("/"+c.Name, i, coherence.NoFold, expr.Expr{Source: expr.Query, Name: "v"})
		add("/"+c.Name+"/{v}", i, coherence.NoFold, expr.Expr{Source: expr.Path, Name: "v"})
	}
	add("/nested", 0, coherence.NoFold, expr.Expr{Source: expr.Query, Name: "filter[city]"})
	add("/deep", 0, coherence.NoFold, expr.Expr{Source: expr.Query, Name: "a[b][c]"})
	add("/dotted", 0, coherence.NoFold, expr.Expr{Source: expr.Query, Name: "shop.id"})
	add("/under", 0, coherence.NoFold, expr.Expr{Source: expr.Query, Name: "min_price"})
	add("/trim", 0, coherence.NoFold, expr.Expr{Source: expr.Query, Name: "v", Funcs: []expr.Func{expr.Trim}})
	add("/lower", 0, coherence.Lower, expr.Expr{Source: expr.Query, Name: "v", Funcs: []expr.Func{expr.Lower, expr.Trim}})
	add("/folded", 0, coherence.Lower, expr.Expr{Source: expr.Query, Name: "v"})
	add("/header", 0, coherence.NoFold, expr.Expr{Source: expr.Header, Name: "x-shop"})
	add("/cookie", 0, coherence.NoFold, expr.Expr{Source: expr.Cookie, Name: "shop"})
	add("/files/{rest...}", 0, coherence.NoFold, expr.Expr{Source: expr.Path, Name: "rest"})
	return routes
}

func readRig(t *testing.T) *rig {
	t.Helper()
	r := newRig(t, func(r *rig, o *Options) {
		var err error
		if r.guard, err = coherence.New(coherence.Config{Tables: readTable, FenceBits: 12}); err != nil {
			t.Fatal(err)
		}
		o.Guard, o.Routes = r.guard, readRoutes()
	})
	r.say("page")
	return r
}

// insert commits a row that has value in one column and NULL in the others.
func (r *rig) insert(column int, value string) {
	row := make([]coherence.Value, len(readTable[0].Columns))
	for i := range row {
		row[i] = coherence.Value{State: coherence.Null}
	}
	row[column] = coherence.Value{State: coherence.Known, Text: []byte(value)}
	r.xid++
	tx := coherence.NewTransaction(readTable, 1000)
	tx.Begin(r.xid, r.lsn+10, time.Now())
	tx.Append(0, coherence.Insert, nil, row, coherence.AnyColumn)
	tx.Commit(r.lsn + 20)
	r.lsn += 100
	r.guard.Apply(tx)
	r.settle()
}

// askedColumn finds the column that a target's route asks for.
func askedColumn(target string) int {
	name, _, _ := strings.Cut(strings.TrimLeft(target, "/"), "?")
	name, _, _ = strings.Cut(name, "/")
	return max(readTable[0].Column(name), 0)
}

// survives tells whether what is stored for a request is a hit after a row with
// value has come.
func (r *rig) survives(target, value string, fields ...string) bool {
	r.t.Helper()
	ask := func() string {
		c := r.dial()
		defer func() { _ = c.Close() }()
		c.send("GET " + target + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + strings.Join(append(fields, ""), "\r\n") + "\r\n")
		return c.read("GET").cacheStatus()
	}
	ask()
	if got := ask(); !strings.HasPrefix(got, "walpurge; hit") {
		r.t.Fatalf("%s %q is not kept: %s", target, fields, got)
	}
	r.insert(askedColumn(target), value)
	return strings.HasPrefix(ask(), "walpurge; hit")
}

// What every service reads alike is a condition: another row leaves the page,
// and the row that is asked for ends it.
func TestWhatEveryServiceReadsAlikeIsACondition(t *testing.T) {
	r := readRig(t)
	for _, c := range []struct{ target, same, other string }{
		{"/text?v=Lagos", "Lagos", "Accra"},
		{"/text?v=Lagos&w=1&page=2", "Lagos", "Accra"},
		{"/text?v=New+York%21", "New York!", "New York"},
		{"/text?v=S%C3%A3o+Paulo", "São Paulo", "Sao Paulo"},
		{"/text?v=01234", "01234", "1234"},
		{"/text?v=Lagos&v=Accra", "Accra", "Abuja"},
		{"/text/foo", "foo", "bar"},
		{"/text/foo%20bar", "foo bar", "foo"},
		{"/nested?filter[city]=Lagos", "Lagos", "Accra"},
		{"/nested?filter%5Bcity%5D=Lagos&filter%5Btype%5D=flat&page[size]=3", "Lagos", "flat"},
		{"/nested?filter[city]=Lagos&filter[city]=Accra", "Accra", "Abuja"},
		{"/nested?filter[city]=Lagos&filter[cities]=Accra&filtered=x&city=Accra", "Lagos", "Accra"},
		{"/dotted?shop.id=7&shop.name=x", "7", "x"},
		{"/under?min_price=7&max_price=9&price=8", "7", "9"},
		{"/int?v=42", "42", "43"},
		{"/int?v=0", "0", "1"},
		{"/int?v=-5", "-5", "5"},
		{"/int?v=1&v=2", "2", "3"},
		{"/int?v=1934567890123456789", "1934567890123456789", "1934567890123456790"},
		{"/int/42", "42", "43"},
		{"/num?v=4.50", "4.5", "4"},
		{"/num?v=1000", "1000.00", "1"},
		{"/bool?v=true", "t", "f"},
		{"/bool?v=false", "f", "t"},
		{"/uuid?v=a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
		{"/uuid/A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
		{"/date?v=2026-11-30", "2026-11-30", "2026-11-29"},
		{"/ts?v=2026-11-30T10:00:00", "2026-11-30 10:00:00", "2026-11-30 09:00:00"},
		{"/ts?v=2026-11-30T10:00", "2026-11-30 10:00:00", "2026-11-30 09:00:00"},
		{"/tstz?v=2026-11-30T10:00:00Z", "2026-11-30 10:00:00+00", "2026-11-30 09:00:00+00"},
		{"/tstz?v=2026-11-30T11:00:00.250%2B01:00", "2026-11-30 10:00:00.25+00", "2026-11-30 10:00:00+00"},
		{"/tstz?v=2026-11-30T10:00:00.123456Z", "2026-11-30 10:00:00.123456+00", "2026-11-30 10:00:00.124+00"},
		{"/mood?v=ok", "ok", "null"},
		{"/trim?v=+Lagos+", "Lagos", "Accra"},
		{"/lower?v=LAGOS+", "Lagos", "Accra"},
		{"/folded?v=s%C3%A3o", "são", "Lagos"},
		{"/files/a/b", "a/b", "a"},
	} {
		if !r.survives(c.target, c.other) {
			t.Errorf("%s: a row with %q ends it", c.target, c.other)
		}
		if r.survives(c.target, c.same) {
			t.Errorf("%s: a row with %q doesn't end it", c.target, c.same)
		}
	}
	if !r.survives("/header", "9", "X-Shop: 7") || r.survives("/header", "7", "X-Shop: 7") {
		t.Error("a header field is no condition")
	}
	if !r.survives("/cookie", "9", "Cookie: lang=de; shop=7") || r.survives("/cookie", "7", "Cookie: lang=de; shop=7") {
		t.Error("a cookie is no condition")
	}
}

// docs/decisions/0010 names a service for each of these that shows the rows
// with the second value.
func TestWhatServicesReadInOtherWaysIsNoCondition(t *testing.T) {
	r := readRig(t)
	for _, c := range []struct{ requests, shown string }{
		// Another parameter that delivers a value to ours.
		{"/text?v=Lagos&v[]=Accra|/text?v=Lagos&v[0]=Accra|/text?v=Lagos&v[x]=Accra|/text?v=Lagos&v%5B%5D=Accra|/text?v=Lagos&v[=Accra|/text?v=Lagos&v]=Accra", "Accra"},
		{"/text?v=Lagos&[v]=Accra|/text?v=Lagos&[]v=Accra|/text?v=Lagos&V=Accra|/text?v=Lagos&+v=Accra|/text?v=Lagos&%09v=Accra|/text?v=Lagos&v+=Accra", "Accra"},
		{"/text?v=Lagos&v%00x=Accra|/text?v=Lagos&q.v=Accra|/text?v=Lagos&q[v]=Accra|/text?v=Lagos&[0].v=Accra|/text?v=Lagos&v.x=Accra|/text?v=Lagos&%76=Accra", "Accra"},
		{"/text?v=Lagos&%2576=Accra|/text?v=Lagos&%252576=Accra|/text?v=Lagos&%C2%A0v=Accra|/text?v=Lagos&%E2%80%8Bv=Accra|/text?v=Lagos&amp;v=Accra|/text?v=Lagos;v=Accra", "Accra"},
		{"/text?v=Lagos&v|/text?v=Lagos&v=|/text?v=|/text?v", "Accra"},
		{"/nested?filter[city]=Lagos&filter[city][]=Accra|/nested?filter[city]=Lagos&filter[city][0]=Accra|/nested?filter[city]=Lagos&filter%5Bcity%5D%5Bx%5D=Accra", "Accra"},
		{"/nested?filter[city]=Lagos&filter=Accra|/nested?filter=x&filter[city]=Lagos|/nested?filter[city]=Lagos&filter[]=Accra|/nested?filter[city]=Lagos&filter", "Accra"},
		{"/nested?filter[city]=Lagos&filter[city=Accra|/nested?filter[city]=Lagos&filter.city=Accra|/nested?filter[city]=Lagos&filter_city=Accra|/nested?filter[city]=Lagos&filter[city]x=Accra", "Accra"},
		{"/nested?filter[city]=Lagos&filter['city']=Accra|/nested?filter[city]=Lagos&filter[+city]=Accra|/nested?filter[city]=Lagos&filter+[city]=Accra|/nested?filter[city]=Lagos&filter[City]=Accra", "Accra"},
		{"/nested?filter[city]=Lagos&[filter][city]=Accra|/nested?filter[city]=Lagos&filter[[city]]=Accra|/nested?filter[city]=Lagos&filter[city][=Accra|/nested?filter[city]=Lagos&filter]city[=Accra", "Accra"},
		{"/nested?filter[city]=Lagos&filter%255Bcity%255D=Accra|/nested?filter[city]=Lagos&filter[city%00]=Accra|/nested?filter[city]=Lagos&filter%00[city]=Accra|/nested?filter[city]=Lagos&filter[0][city]=Accra", "Accra"},
		{"/nested?filter[city]=Lagos&filter[city].x=Accra|/nested?filter.city=Lagos|/nested?filter[city][]=Lagos|/nested?filter[city]=Lagos&q[filter][city]=Accra|/nested?filter=%7B%22city%22:1%7D", "Accra"},
		{"/deep?a[b][c]=x&a[b]=Accra|/deep?a[b][c]=x&a=Accra|/deep?a[b][c]=x&a[b][c][]=Accra|/deep?a[b][c]=x&a[b.c]=Accra|/deep?a[b][c]=x&a.b[c]=Accra", "Accra"},
		{"/dotted?shop.id=7&shop_id=Accra|/dotted?shop.id=7&shop[id]=Accra|/dotted?shop.id=7&shop[id=Accra|/dotted?shop.id=7&shop+id=Accra|/dotted?shop.id=7&shop=Accra|/dotted?shop_id=7", "Accra"},
		{"/under?min_price=7&min.price=Accra|/under?min_price=7&min+price=Accra|/under?min_price=7&min[price=Accra|/under?min_price=7&minPrice=Accra|/under?min_price=7&min-price=Accra|/under?min_price=7&min[price]=Accra", "Accra"},
		// Values that services cut, trim, decode or take for none.
		{"/text?v=+Lagos|/text?v=Lagos%20|/text?v=Lagos%09|/text?v=%EF%BB%BFLagos|/text?v=Lagos%C2%A0|/text?v=%E2%80%8BLagos|/text?v=Lagos%E1%A0%8E|/text?v=Lagos%0A|/text?v=Lagos%1F", "Lagos"},
		{"/trim?v=%EF%BB%BFLagos|/trim?v=+%EF%BB%BFLagos|/trim?v=Lagos%C2%A0|/trim?v=%09Lagos|/trim?v=Lagos%0C|/trim?v=Lagos%C2%85|/trim?v=%1FLagos|/trim?v=Lagos%E2%80%8B|/trim?v=%E3%85%A4Lagos|/trim?v=Lagos%0A", "Lagos"},
		{"/text?v=null|/text?v=NULL|/text?v=undefined|/text?v=None|/text?v=nil|/text?v=NaN|/text?v=Infinity|/text?v=-Infinity|/mood?v=null", "ok"},
		{"/text?v=La%2567os|/text?v=Lagos%00x|/text?v=Lagos%3Bx|/text?v=La%u0067os|/text?v=La%67os%", "Lagos"},
		{"/text?v=S\xc3\xa3o|/text/S\xc3\xa3o|/text?v=S\xe3o", "SÃ£o"},
		{"/text/a+b", "a b"},
		{"/text/foo;v=1|/text/foo%3Bv=1|/text/.foo|/text/foo%20|/text/null", "foo"},
		{"/text/foo.json|/text/foo.|/text/foo%2Ejson|/text/foo.tar.gz|/files/foo.json", "foo"},
		{"/text/a.b.json|/text/a.b.", "a.b"},
		{"/files/a.b/c.json", "a.b/c"},
		{"/num/4.5", "4"},
		{"/text?v=Lagos,Accra|/text?v=Lagos,+Accra|/text?v=Accra,|/text?v=,Accra", "Accra"},
		{"/text?v=Lagos&v=Accra", "Lagos,Accra"},
		// Truth.
		{"/bool?v=yes|/bool?v=y|/bool?v=t|/bool?v=1|/bool?v=on|/bool?v=TRUE|/bool?v=True|/bool?v=", "f"},
		{"/bool?v=no|/bool?v=n|/bool?v=f|/bool?v=0|/bool?v=off|/bool?v=FALSE|/bool?v=False|/bool?v=null", "t"},
		// Numbers.
		{"/int?v=010", "8"},
		{"/int?v=1e3|/int?v=1_000|/int?v=1,000|/int?v=1.0|/int?v=1.|/int?v=%2B5|/int?v=+5|/int?v=5+|/int?v=05|/int?v=-0|/int?v=0x10|/int?v=%D9%A3|/int?v=5abc|/int?v=NaN|/int?v=99999999999999999999", "1"},
		{"/int?v=9007199254740993", "9007199254740992"},
		{"/int?v=1934567890123456789", "1934567890123456800"},
		{"/num?v=1e3|/num?v=01.5|/num?v=%2B1.5|/num?v=.5|/num?v=5.|/num?v=-0|/num?v=-0.0|/num?v=0.12345678901234567|/num?v=00", "1"},
		// Identifiers.
		{"/uuid?v=%7Ba0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11%7D|/uuid?v=a0eebc999c0b4ef8bb6d6bb9bd380a11|/uuid?v=urn:uuid:a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11|/uuid?v=a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11|/uuid?v=1-1-1-1-1", "00000001-0001-0001-0001-000000000001"},
		// Dates and times.
		{"/date?v=20261130|/date?v=2026-1-2|/date?v=1500-01-01|/date?v=today|/date?v=2026-11-30T00:00:00Z|/date?v=0000-01-01", "1999-01-01"},
		{"/ts?v=2026-11-30+10:00:00|/ts?v=2026-11-30|/ts?v=2026-11-30T10:00:00Z|/ts?v=1500-01-01T00:00:00|/ts?v=now", "1999-01-01 00:00:00"},
		{"/ts?v=2026-11-30T10:00:00.123456", "2026-11-30 10:00:00.123"},
		{"/tstz?v=2026-11-30T10:00:00%2B01|/tstz?v=2026-11-30T10:00:00%2B0100|/tstz?v=2026-11-30+10:00:00Z|/tstz?v=2026-11-30T10:00:00|/tstz?v=2026-11-30T10:00:00+01:00|/tstz?v=2026-11-30T10:00:00-00:00|/tstz?v=2026-11-30T10:00:00%2B15:00|/tstz?v=1500-01-01T00:00:00Z|/tstz?v=1796032800", "1999-01-01 00:00:00+00"},
		{"/tstz?v=2026-11-30T10:00:00.123456Z", "2026-11-30 10:00:00.123+00"},
		{"/lower?v=d%C4%B1s|/lower?v=%C3%89", "DIS"},
	} {
		for request := range strings.SplitSeq(c.requests, "|") {
			if r.survives(request, c.shown) {
				t.Errorf("%s: a row with %q leaves a hit", request, c.shown)
			}
		}
	}
	if r.survives("/text?"+strings.Repeat("x&", depends.MaxPairs)+"v=Lagos", "Accra") {
		t.Error("a parameter that comes after hundreds is a condition")
	}
	for _, field := range []string{"Cookie: shop=1; shop=2", "Cookie: shop=1+2", "Cookie: shop=1%2B", `Cookie: shop="1"`, "Cookie: shop=1,2", "Cookie: shop=j:1", "Cookie: shop=S\xc3\xa3o", "Cookie: Shop=1", "Cookie: shop=1; Shop=2", "Cookie: shop=a b"} {
		if r.survives("/cookie", "1 2", field) {
			t.Errorf("%q leaves a hit", field)
		}
	}
	for _, fields := range []string{"X-Shop: 1\r\nX-Shop: 2", "X-Shop: S\xc3\xa3o", "X-Shop: 2,3"} {
		if r.survives("/header", "2", fields) {
			t.Errorf("%q leaves a hit", fields)
		}
	}
}
