package proxycache

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"walpurge/internal/expr"
	"walpurge/internal/proxycache/route"
)

// date is a date so far from now, as fields spell it.
func date(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }

// counted makes the origin number its responses.
func (r *rig) counted(status int, fields ...string) {
	n := 0
	r.answer(func(w http.ResponseWriter, _ *http.Request) {
		n++
		for _, f := range fields {
			name, value, _ := strings.Cut(f, ": ")
			w.Header().Add(name, value)
		}
		w.WriteHeader(status)
		if status != 204 {
			_, _ = fmt.Fprint(w, n)
		}
	})
}

// reuse is a response and whether a second request, a while later, gets it.
type reuse struct {
	name   string
	status int // 0: 200
	fields []string
	wait   time.Duration
	reused bool
}

func testReuse(t *testing.T, cases []reuse) {
	t.Helper()
	r := newRig(t, plainHTTP)
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r.t = t
			if c.status == 0 {
				c.status = 200
			}
			r.counted(c.status, c.fields...)
			path := fmt.Sprint("/", i)
			r.get(path)
			r.now.Add(int64(c.wait))
			before := r.asked()
			got := r.get(path)
			if hit := r.asked() == before; hit != c.reused || got.StatusCode != c.status {
				t.Errorf("%d %q: reused %v, want %v; %s", c.status, c.fields, hit, c.reused, got.cacheStatus())
			}
		})
	}
}

// expiring are the fields of a response with that Expires alone.
func expiring(v string) []string { return []string{"Expires: " + v} }

func TestRFC9111Section4_2_1Lifetimes(t *testing.T) {
	cc := func(v string) []string { return []string{"Cache-Control: " + v} }
	testReuse(t, []reuse{
		{"nothing", 0, nil, 0, false},
		{"max-age", 0, cc("max-age=60"), 50 * time.Second, true},
		{"max-age is over", 0, cc("max-age=60"), 61 * time.Second, false},
		{"max-age 0", 0, cc("max-age=0"), 0, false},
		{"2^31-1", 0, cc("max-age=2147483647"), time.Hour, true},
		{"2^31", 0, cc("max-age=2147483648"), time.Hour, true},
		{"beyond 64 bits", 0, cc("max-age=99999999999999999999999"), time.Hour, true},
		{"negative", 0, cc("max-age=-60"), 0, false},
		{"with letters", 0, cc("max-age=60a"), 0, false},
		{"decimal", 0, cc("max-age=60.0"), 0, false},
		{"leading zero", 0, cc("max-age=060"), 50 * time.Second, true},
		{"quoted", 0, cc(`max-age="60"`), 50 * time.Second, true},
		{"single quotes", 0, cc("max-age='60'"), 0, false},
		{"space before =", 0, cc("max-age =60"), 0, false},
		{"space after =", 0, cc("max-age= 60"), 0, false},
		{"letter case", 0, cc("MaX-aGe=60"), 0, true},
		{"unknown directive", 0, cc("foo, bar=1, max-age=60"), 0, true},
		{"inside quotes", 0, cc(`a="max-age=600", max-age=1`), 2 * time.Second, false},
		{"inside quotes, after", 0, cc(`max-age=1, a="max-age=600"`), 2 * time.Second, false},
		{"two, fresh first", 0, cc("max-age=600, max-age=1"), 2 * time.Second, false},
		{"two, stale first", 0, cc("max-age=1, max-age=600"), 2 * time.Second, false},
		{"two lines", 0, []string{"Cache-Control: max-age=600", "Cache-Control: max-age=1"}, 2 * time.Second, false},
		{"open quote hides nothing", 0, cc(`max-age=60, a="b, no-store`), 0, false},
		{"s-maxage over max-age", 0, cc("max-age=1, s-maxage=60"), 5 * time.Second, true},
		{"s-maxage under max-age", 0, cc("s-maxage=1, max-age=60"), 5 * time.Second, false},
		{"max-age over Expires", 0, append(cc("max-age=60"), "Expires: "+date(-time.Hour)), 0, true},
		{"max-age under Expires", 0, append(cc("max-age=0"), "Expires: "+date(time.Hour)), 0, false},
		{"any status with a lifetime", 599, cc("max-age=60"), 0, true},
		{"500 with a lifetime", 500, cc("max-age=60"), 0, true},
		{"206", 206, []string{"Cache-Control: max-age=60", "Content-Range: bytes 0-0/9"}, 0, false},
	})
}

func TestRFC9111Section4_2Dates(t *testing.T) {
	hour := time.Now().Add(time.Hour).UTC()
	testReuse(t, []reuse{
		{"Expires RFC 850", 0, expiring(hour.Format("Monday, 02-Jan-06 15:04:05 GMT")), time.Minute, true},
		{"Expires asctime", 0, expiring(hour.Format(time.ANSIC)), time.Minute, true},
		{"Expires in 9999", 0, expiring("Fri, 31 Dec 9999 23:59:59 GMT"), time.Hour, true},
		{"Expires after 2038", 0, expiring("Tue, 19 Jan 2100 14:14:08 GMT"), time.Hour, true},
		{"Expires, month's case", 0, expiring("Thu, 18 AUG 2050 02:01:18 GMT"), 0, true},
		{"Expires, weekday's case", 0, expiring("THU, 18 Aug 2050 02:01:18 GMT"), 0, true},
		{"Expires, zone's case", 0, expiring("Thu, 18 Aug 2050 02:01:18 gMT"), 0, true},
		{"Expires asctime, another weekday", 0, expiring("Thu Aug  8 02:01:18 2050"), 0, true},
		{"Expires RFC 850, another case", 0, expiring("THURSDAY, 18-aug-50 02:01:18 Gmt"), 0, true},
		{"Expires, no weekday", 0, expiring("Foo, 18 Aug 2050 02:01:18 GMT"), 0, false},
		{"Expires UTC", 0, expiring("Thu, 18 Aug 2050 02:01:18 UTC"), 0, false},
		{"Expires AEST", 0, expiring("Thu, 18 Aug 2050 02:01:18 AEST"), 0, false},
		{"Expires, two-digit year", 0, expiring("Thu, 18 Aug 50 02:01:18 GMT"), 0, false},
		{"Expires without comma", 0, expiring("Thu 18 Aug 2050 02:01:18 GMT"), 0, false},
		{"Expires with spaces", 0, expiring("Thu, 18  Aug  2050 02:01:18 GMT"), 0, false},
		{"Expires with dashes", 0, expiring("Thu, 18-Aug-2050 02:01:18 GMT"), 0, false},
		{"Expires with dots", 0, expiring("Thu, 18 Aug 2050 02.01.18 GMT"), 0, false},
		{"Expires, one-digit hour", 0, expiring("Thu, 18 Aug 2050 2:01:18 GMT"), 0, false},
	})
}

func TestRFC9111Section4_2_2Heuristics(t *testing.T) {
	old := "Last-Modified: " + date(-10*24*time.Hour)
	var cases []reuse
	for _, status := range []int{200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501} {
		cases = append(cases, reuse{fmt.Sprint(status), status, []string{old}, time.Hour, true})
	}
	for _, status := range []int{201, 202, 302, 303, 307, 400, 403, 429, 500, 502, 503, 504, 599} {
		cases = append(cases, reuse{fmt.Sprint(status), status, []string{old}, 0, false},
			reuse{fmt.Sprint(status, " public"), status, []string{old, "Cache-Control: public"}, time.Hour, true})
	}
	testReuse(t, append(cases,
		reuse{"a day at most", 0, []string{"Last-Modified: " + date(-10000*time.Hour)}, 25 * time.Hour, false},
		reuse{"a tenth", 0, []string{"Last-Modified: " + date(-10*time.Hour)}, 61 * time.Minute, false},
		reuse{"modified ahead", 0, []string{"Last-Modified: " + date(time.Hour)}, 0, false},
		reuse{"not with an expiry", 0, []string{old, "Cache-Control: max-age=1"}, 2 * time.Second, false},
		reuse{"not with a bad expiry", 0, []string{old, "Expires: 0"}, 0, false},
		reuse{"not with no-cache", 0, []string{old, "Cache-Control: no-cache"}, 0, false},
	))
}

func TestRFC9111Section4_2_2NotForRequestsWithCookies(t *testing.T) {
	r := newRig(t, plainHTTP)
	r.say("hers", "Last-Modified: "+date(-24*time.Hour))
	r.get("/a", "Cookie: user=1")
	r.say("his", "Last-Modified: "+date(-24*time.Hour))
	r.want(r.get("/a", "Cookie: user=2"), "his", "walpurge; fwd")
}

func TestRFC9111Section4_2_2NotOnDeclaredRoutes(t *testing.T) {
	r := newRig(t, nil)
	r.counted(200, "Last-Modified: "+date(-24*time.Hour))
	r.get("/plain/a")
	r.want(r.get("/plain/a"), "2", "walpurge; fwd")
}

func TestRFC9111Section4_2_3Age(t *testing.T) {
	var cases []reuse
	for _, c := range []struct {
		age   []string
		fresh bool
	}{
		{[]string{"0"}, true},
		{[]string{"7200"}, false},
		{[]string{"abc"}, true},
		{[]string{"-7200"}, true},
		{[]string{"7200.0"}, true},
		{[]string{"7200a"}, true},
		{[]string{"a7200"}, true},
		{[]string{"7200;foo=bar"}, true},
		{[]string{"2147483648"}, false},
		{[]string{"99999999999999999999999"}, false},
		{[]string{"0", "7200"}, true},
		{[]string{"7200", "0"}, false},
		{[]string{"0, 7200"}, true},
		{[]string{"7200, 0"}, false},
	} {
		fields := []string{"Cache-Control: max-age=3600"}
		for _, a := range c.age {
			fields = append(fields, "Age: "+a)
		}
		cases = append(cases, reuse{strings.Join(c.age, " and "), 0, fields, 0, c.fresh})
	}
	testReuse(t, append(cases,
		reuse{"old Date", 0, []string{"Cache-Control: max-age=60", "Date: " + date(-2*time.Minute)}, 0, false},
		reuse{"Date ahead", 0, []string{"Cache-Control: max-age=60", "Date: " + date(2*time.Minute)}, 59 * time.Second, true},
	))
}

func TestRFC9111Section4_4Invalidation(t *testing.T) {
	for _, c := range []struct {
		method, answer string // the unsafe request's, and what it says beside its status
		status         int
		ended          bool
	}{
		{"POST", "", 200, true},
		{"PUT", "", 204, true},
		{"PATCH", "", 303, true},
		{"DELETE", "", 200, true},
		{"M-SEARCH", "", 200, true},
		{"UNHEARD", "", 200, true},
		{"POST", "", 404, false},
		{"POST", "", 500, false},
		{"OPTIONS", "", 200, false},
	} {
		t.Run(fmt.Sprint(c.method, c.status), func(t *testing.T) {
			r := newRig(t, plainHTTP)
			for _, lang := range []string{"en", "fr"} {
				r.say("old", "Cache-Control: max-age=60", "Vary: X-Lang")
				r.get("/a", "X-Lang: "+lang)
			}
			r.counted(c.status)
			r.do(c.method, "/a", nil)
			r.say("new", "Cache-Control: max-age=60", "Vary: X-Lang")
			for _, lang := range []string{"en", "fr"} {
				if got := r.get("/a", "X-Lang: "+lang); (got.body == "new") != c.ended {
					t.Fatal(got.body)
				}
			}
		})
	}
}

func TestRFC9111Section4_4NamedLocations(t *testing.T) {
	for name, ended := range map[string]bool{
		"Location: /b?x=1": true, "Content-Location: /b?x=1": true, "Location: b?x=1": true,
		"Location: http://HOST/b?x=1": true, "Location: http://elsewhere.test/b?x=1": false, "Location: https://HOST/b?x=1": false,
		"Location: /b": false, "Location: http://HOST:1/b?x=1": false,
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, plainHTTP)
			r.say("old", "Cache-Control: max-age=60")
			r.get("/b?x=1")
			r.say("done", strings.Replace(name, "HOST", r.proxy.Addr().String(), 1))
			r.do("POST", "/a", nil)
			r.say("new", "Cache-Control: max-age=60")
			if got := r.get("/b?x=1"); (got.body == "new") != ended {
				t.Fatal(got.body)
			}
		})
	}
}

// What an unsafe request ends is what its writer can see: nobody knows which
// other values of the field or cookie its response was about.
func TestRFC9111Section4_4OnKeyedRoutesTheWritersOwnKeyEnds(t *testing.T) {
	r := newRig(t, func(_ *rig, o *Options) {
		o.Routes = append(o.Routes,
			route.Declaration{Pattern: "/by/cookie", Vary: []route.Key{{Source: expr.Cookie, Name: "currency"}}},
			route.Declaration{Pattern: "/by/field", Vary: []route.Key{{Source: expr.Header, Name: "x-currency"}}})
	})
	for path, key := range map[string]string{"/by/cookie": "Cookie: currency=", "/by/field": "X-Currency: "} {
		r.say("old", "Cache-Control: max-age=60")
		for _, currency := range []string{"EUR", "USD"} {
			r.want(r.get(path, key+currency), "old", "walpurge; fwd=uri-miss")
		}
		r.do("POST", path, nil, key+"EUR")
		r.say("new", "Cache-Control: max-age=60")
		r.want(r.get(path, key+"EUR"), "new", "walpurge; fwd=uri-miss")
		r.want(r.get(path, key+"USD"), "old", "walpurge; hit")
	}
}

func TestRFC9111Section3_1FieldsThatEndHere(t *testing.T) {
	r := newRig(t, plainHTTP)
	ending := []string{"Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Authorization", "Te", "Upgrade", "X-Named", "Walpurge-Cache-Control"}
	fields := []string{"Cache-Control: max-age=60", "Connection: x-named, keep-alive", "X-Kept: 1"}
	for _, name := range ending {
		if name != "Upgrade" && name != "Walpurge-Cache-Control" {
			fields = append(fields, name+": 1")
		}
	}
	r.say("one", append(fields, "Walpurge-Cache-Control: max-age=60")...)
	for range 2 {
		got := r.get("/a")
		for _, name := range ending {
			if got.Header.Get(name) != "" {
				t.Errorf("%s: %s", name, got.Header.Get(name))
			}
		}
		if got.Header.Get("X-Kept") != "1" {
			t.Error("X-Kept is gone")
		}
	}
	if got := r.do("POST", "/a", nil); got.Header.Get("Walpurge-Cache-Control") != "" || got.Header.Get("X-Named") != "" {
		t.Error(got.Header)
	}
}

func TestRFC9111Section4_3_4Freshening(t *testing.T) {
	r := newRig(t, plainHTTP)
	r.say("body", "Cache-Control: max-age=1", `Etag: "1"`, "X-Kept: a", "X-Changed: a", "Content-Type: text/plain")
	r.get("/a")
	r.now.Add(int64(2 * time.Second))
	r.answer(func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("If-None-Match") != `"1"` {
			t.Error("If-None-Match", req.Header.Get("If-None-Match"))
		}
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("X-Changed", "b")
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Etag", `"1"`)
		w.WriteHeader(304)
	})
	for range 2 {
		got := r.get("/a")
		if got.StatusCode != 200 || got.body != "body" || got.Header.Get("X-Kept") != "a" || got.Header.Get("X-Changed") != "b" || got.Header.Get("Content-Type") != "text/plain" {
			t.Fatal(got.Status, got.body, got.Header)
		}
	}
	r.now.Add(int64(30 * time.Second))
	r.want(r.get("/a"), "body", "walpurge; hit")
}

func TestRFC9111Section4_3_3OtherAnswersReplace(t *testing.T) {
	for _, cc := range []string{"max-age=60", "no-store"} {
		r := newRig(t, plainHTTP)
		r.say("old", "Cache-Control: max-age=60", `Etag: "1"`)
		r.get("/a")
		r.say("new", "Cache-Control: "+cc)
		r.want(r.get("/a", "Cache-Control: no-cache"), "new", "walpurge; fwd=request")
		if got := r.get("/a"); got.body != "new" {
			t.Fatalf("%s: %q, which has been replaced", cc, got.body)
		}
	}
}

func TestRFC9111Section4_3_2ClientsValidate(t *testing.T) {
	r := newRig(t, plainHTTP)
	modified := date(-time.Hour)
	r.say("one", "Cache-Control: max-age=60", `Etag: "abc"`, "Last-Modified: "+modified)
	r.get("/a")
	r.say("two", "Cache-Control: max-age=60")
	r.get("/dateless")
	r.say("three", "Cache-Control: max-age=60", "Etag: bare")
	r.get("/bare")
	for _, c := range []struct {
		path, ask string
		status    int
	}{
		{"/a", `If-None-Match: "abc"`, 304},
		{"/a", `If-None-Match: W/"abc"`, 304},
		{"/a", `If-None-Match: "x", "abc" , "y"`, 304},
		{"/a", `If-None-Match: *`, 304},
		{"/a", `If-None-Match: "x"`, 200},
		{"/a", "If-Modified-Since: " + modified, 304},
		{"/a", "If-Modified-Since: " + date(-2*time.Hour), 200},
		{"/a", "If-Modified-Since: yesterday", 200},
		{"/a", "If-None-Match: \"abc\"\nIf-Modified-Since: " + date(-2*time.Hour), 304},
		{"/a", "If-None-Match: \"x\"\nIf-Modified-Since: " + modified, 200},
		{"/dateless", "If-Modified-Since: " + date(time.Minute), 304},
		{"/dateless", "If-Modified-Since: " + date(-time.Minute), 200},
		{"/bare", "If-None-Match: bare", 304},
	} {
		before := r.asked()
		if got := r.get(c.path, strings.Split(c.ask, "\n")...); got.StatusCode != c.status || r.asked() != before {
			t.Errorf("%s %q: %s", c.path, c.ask, got.Status)
		}
	}
}

func TestRFC9111Section4_1Vary(t *testing.T) {
	for _, c := range []struct {
		vary          []string
		first, second []string
		reused        bool
	}{
		{[]string{"X-Foo"}, []string{"X-Foo: 1"}, []string{"X-Foo: 1"}, true},
		{[]string{"X-Foo"}, []string{"X-Foo: 1"}, []string{"X-Foo: 2"}, false},
		{[]string{"X-Foo"}, []string{"X-Foo: 1"}, nil, false},
		{[]string{"X-Foo"}, nil, nil, true},
		{[]string{"X-Foo"}, nil, []string{"X-Foo: 1"}, false},
		{[]string{"*"}, nil, nil, false},
		{[]string{"X-Foo, *"}, nil, nil, false},
		{[]string{", *"}, nil, nil, false},
		{[]string{"", "*"}, nil, nil, false},
		{[]string{"X-Foo", "X-Bar"}, []string{"X-Foo: 1", "X-Bar: 1"}, []string{"X-Foo: 1", "X-Bar: 1"}, true},
		{[]string{"X-Foo", "X-Bar"}, []string{"X-Foo: 1", "X-Bar: 1"}, []string{"X-Foo: 1", "X-Bar: 2"}, false},
		{[]string{"x-foo, X-BAR"}, []string{"X-Bar: 1", "X-Foo: 1"}, []string{"X-Foo: 1", "X-Bar: 1"}, true},
		{[]string{"X-Foo"}, []string{"X-Foo: 1", "X-Foo: 2"}, []string{"X-Foo: 1,  2"}, true},
		{[]string{"X-Foo"}, []string{"X-Foo: 1, 2"}, []string{"X-Foo: 1 ,2"}, true},
		{[]string{"X-Foo"}, []string{`X-Foo: "1, 2"`}, []string{`X-Foo: "1,2"`}, false},
		{[]string{"X-Foo"}, []string{"X-Foo: 1 2"}, []string{"X-Foo: 12"}, false},
		{[]string{"Accept-Encoding"}, []string{"Accept-Encoding: gzip, br"}, []string{"Accept-Encoding: br;q=0.8,GZIP"}, true},
		{[]string{"Accept-Language"}, []string{"Accept-Language: en, De"}, []string{"Accept-Language: EN,de"}, true},
	} {
		t.Run(fmt.Sprint(c.vary, c.first, c.second), func(t *testing.T) {
			r := newRig(t, plainHTTP)
			fields := []string{"Cache-Control: max-age=60"}
			for _, v := range c.vary {
				fields = append(fields, "Vary: "+v)
			}
			r.counted(200, fields...)
			r.get("/a", c.first...)
			if got := r.get("/a", c.second...); (got.body == "1") != c.reused {
				t.Fatal(got.body, got.cacheStatus())
			}
		})
	}
}

func TestRFC5861Section4ErrorsGiveWayToTheStored(t *testing.T) {
	for _, status := range []int{500, 502, 503, 504} {
		r := newRig(t, plainHTTP)
		r.say("one", "Cache-Control: max-age=10, stale-if-error=60")
		r.get("/a")
		r.counted(status)
		r.now.Add(int64(12 * time.Second))
		r.want(r.get("/a"), "one", "walpurge; hit; ttl=-2; detail=origin")
		r.now.Add(int64(100 * time.Second))
		if got := r.get("/a"); got.StatusCode != status {
			t.Fatal(got.Status)
		}
	}
}

func TestRFC9110Section15_2InterimResponsesOfFills(t *testing.T) {
	r := newRig(t, plainHTTP)
	r.answer(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(103)
		w.Header().Del("Link")
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = io.WriteString(w, "body")
	})
	for _, want := range []int{1, 0} {
		hints := 0
		ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				if code == 103 && h.Get("Link") != "" {
					hints++
				}
				return nil
			},
		})
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+"/a", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := r.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if hints != want || resp.StatusCode != 200 || resp.Header.Get("Link") != "" {
			t.Fatal(hints, resp.Status, resp.Header)
		}
	}
}

func TestRFC9110Section14RangesOfStoredResponses(t *testing.T) {
	r := newRig(t, plainHTTP)
	modified := date(-time.Hour)
	r.say("0123456789", "Cache-Control: max-age=60", `Etag: "1"`, "Last-Modified: "+modified)
	r.get("/a")
	for _, c := range []struct {
		ask    string
		status int
		body   string
	}{
		{"Range: bytes=2-4", 206, "234"},
		{"Range: bytes=7-", 206, "789"},
		{"Range: bytes=-3", 206, "789"},
		{"Range: bytes=-30", 206, "0123456789"},
		{"Range: bytes=2-99", 206, "23456789"},
		{"Range: bytes=10-", 416, ""},
		{"Range: bytes=-0", 416, ""},
		{"Range: bytes=4-2", 200, "0123456789"},
		{"Range: lines=1-2", 200, "0123456789"},
		{"Range: bytes=0-1\nIf-Range: \"1\"", 206, "01"},
		{"Range: bytes=0-1\nIf-Range: W/\"1\"", 200, "0123456789"},
		{"Range: bytes=0-1\nIf-Range: \"2\"", 200, "0123456789"},
		{"Range: bytes=0-1\nIf-Range: " + modified, 206, "01"},
		{"Range: bytes=0-1\nIf-Range: " + date(0), 200, "0123456789"},
	} {
		got := r.get("/a", strings.Split(c.ask, "\n")...)
		if got.StatusCode != c.status || got.body != c.body {
			t.Errorf("%q: %s %q", c.ask, got.Status, got.body)
		}
	}
	if r.asked() != 1 {
		t.Error("the origin was asked")
	}
}

func TestRFC5861Section4ErrorsPassWhereNothingStandsIn(t *testing.T) {
	r := newRig(t, plainHTTP)
	r.say("one", "Cache-Control: max-age=60", `Etag: "1"`)
	r.get("/a")
	r.counted(503)
	if got := r.get("/a", "Cache-Control: no-cache"); got.StatusCode != 503 {
		t.Fatal(got.Status)
	}
}
