package proxycache

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"walpurge/internal/expr"
	"walpurge/internal/proxycache/route"
	"walpurge/internal/proxycache/store"
)

// G6: what belongs to one is never given to another.
func TestRFC9111Section3PrivateResponsesAreNeverShared(t *testing.T) {
	for _, fields := range [][]string{
		{"Set-Cookie: session=1"},
		{"Cache-Control: private"},
		{"Cache-Control: max-age=60, private"},
		{"Cache-Control: no-store"},
		{"Cache-Control: public, max-age=60", "Set-Cookie: session=1"},
		{"Vary: *"},
		{"Cache-Control: s-maxage=60", "Cache-Control: private"},
	} {
		t.Run(strings.Join(fields, " "), func(t *testing.T) {
			r := newRig(t, nil)
			for i := range 4 {
				body := fmt.Sprint("user ", i)
				r.say(body, fields...)
				for _, path := range []string{"/api/listings/1", "/plain/1", "/other"} {
					if got := r.get(path); got.body != body || strings.Contains(got.cacheStatus(), "hit") || strings.Contains(got.cacheStatus(), "stored") {
						t.Fatalf("%s: %q %q", path, got.body, got.cacheStatus())
					}
				}
			}
			if r.proxy.memory.Entries() != 0 {
				t.Fatal("stored")
			}
		})
	}
}

func TestRFC9111Section3_5RequestsWithCredentials(t *testing.T) {
	r := newRig(t, nil)
	r.say("anonymous")
	r.get("/api/listings/1")
	r.say("mine")
	got := r.get("/api/listings/1", "Authorization: Bearer x")
	r.want(got, "mine", "walpurge; fwd=uri-miss; fwd-status=200; detail=authorization")
	r.want(r.get("/api/listings/1"), "anonymous", "walpurge; hit")
	r.want(r.get("/api/listings/2", "Authorization: Bearer x"), "mine", "walpurge; fwd=uri-miss")
	r.say("other")
	r.want(r.get("/api/listings/2"), "other", "walpurge; fwd=uri-miss")

	r.say("shared", "Cache-Control: public, max-age=60")
	r.want(r.get("/plain/1", "Authorization: Bearer x"), "shared", "walpurge; fwd=uri-miss; fwd-status=200; stored")
	r.want(r.get("/plain/1", "Authorization: Bearer y"), "shared", "walpurge; hit")

	for cc, shared := range map[string]bool{"public": true, "must-revalidate": true, "s-maxage=60": true, "proxy-revalidate": false, "foo": false} {
		r := newRig(t, plainHTTP)
		r.counted(200, "Cache-Control: max-age=60, "+cc)
		r.get("/a", "Authorization: Bearer x")
		if got := r.get("/a", "Authorization: Bearer y"); (got.body == "1") != shared {
			t.Errorf("%s: response %s", cc, got.body)
		}
	}
}

func TestRFC9111Section4_2_1TheOriginDecides(t *testing.T) {
	r := newRig(t, plainHTTP)
	r.say("one", "Cache-Control: max-age=10")
	r.get("/a")
	r.say("two", "Cache-Control: max-age=10")
	r.now.Add(int64(4 * time.Second))
	got := r.get("/a")
	r.want(got, "one", "walpurge; hit; ttl=")
	if age := got.Header.Get("Age"); age != "4" && age != "5" {
		t.Fatal("Age", age)
	}
	r.now.Add(int64(7 * time.Second))
	r.want(r.get("/a"), "two", "walpurge; fwd=stale")
	r.say("silent")
	r.want(r.get("/b"), "silent", "walpurge; fwd=uri-miss; fwd-status=200; detail=no-lifetime")
}

func TestRFC9111Section4_2_3AgeContinuesTheOrigins(t *testing.T) {
	r := newRig(t, plainHTTP)
	r.say("one", "Cache-Control: max-age=60", "Age: 20")
	if age := r.get("/a").Header["Age"]; len(age) != 1 || age[0] != "20" {
		t.Fatal(age)
	}
	r.now.Add(int64(5 * time.Second))
	if age := r.get("/a").Header["Age"]; len(age) != 1 || age[0] != "25" {
		t.Fatal(age)
	}
}

func TestRFC9111Section4_3_1ExpiredResponseIsRevalidated(t *testing.T) {
	r := newRig(t, plainHTTP)
	r.answer(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Etag", `"v1"`)
		w.Header().Set("Cache-Control", "max-age=10")
		w.Header().Set("X-Seen", fmt.Sprint(len(r.requests)))
		if req.Header.Get("If-None-Match") == `"v1"` {
			w.WriteHeader(304)
			return
		}
		_, _ = w.Write([]byte("body"))
	})
	r.get("/a")
	r.now.Add(int64(11 * time.Second))
	got := r.get("/a")
	r.want(got, "body", "walpurge; fwd=stale; fwd-status=304; stored")
	if got.StatusCode != 200 || got.Header.Get("X-Seen") != "2" {
		t.Fatal(got.Status, got.Header)
	}
	if via := got.Header["Via"]; len(via) != 1 {
		t.Fatal(via)
	}
	r.want(r.get("/a"), "body", "walpurge; hit")
	r.want(r.get("/a", "Cache-Control: no-cache"), "body", "walpurge; fwd=request; fwd-status=304")
}

// A 304 under a new asof makes the entry as new as the request that got it.
func TestRevalidatedResponseHasTheNewAsof(t *testing.T) {
	ttl := 10 * time.Second
	r := newRig(t, func(_ *rig, o *Options) { o.Routes[0].TTL = &ttl })
	r.answer(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Etag", `"v1"`)
		if req.Header.Get("If-None-Match") != "" {
			w.WriteHeader(304)
			return
		}
		_, _ = w.Write([]byte("body"))
	})
	r.get("/api/listings/1")
	r.commit(nil, &row{"5", "Lagos", "1"})
	r.now.Add(int64(11 * time.Second))
	r.prove()
	r.want(r.get("/api/listings/1"), "body", "walpurge; fwd=stale; fwd-status=304; stored")
	if n := r.guard.Handles(); n != 1 {
		t.Fatalf("%d handles", n)
	}
	r.commit(&row{"1", "Lagos", "1"}, &row{"1", "Lagos", "2"})
	r.say("new")
	r.want(r.get("/api/listings/1"), "new", "walpurge; fwd=uri-miss")
}

func TestRFC9111Section4_3_2ConditionsAreAnsweredFromTheCache(t *testing.T) {
	r := newRig(t, nil)
	modified := time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat)
	r.say("body", `Etag: "v1"`, "Last-Modified: "+modified, "Content-Language: en")
	// The first request is a miss with a condition: the fill is whole all the same.
	got := r.get("/api/listings/1", `If-None-Match: "v1"`)
	if got.StatusCode != 304 || got.body != "" || !strings.Contains(got.cacheStatus(), "stored") {
		t.Fatal(got.Status, got.cacheStatus())
	}
	r.eventually("the response is stored", func() bool { return r.proxy.memory.Entries() == 1 && r.flying() == 0 })
	for fields, want := range map[string]int{
		`If-None-Match: "v1"`: 304, `If-None-Match: W/"v1"`: 304, `If-None-Match: "x", "v1"`: 304, "If-None-Match: *": 304, `If-None-Match: "x"`: 200,
		"If-Modified-Since: " + modified: 304, "If-Modified-Since: " + time.Now().Add(-2*time.Hour).UTC().Format(http.TimeFormat): 200, "If-Modified-Since: soon": 200,
	} {
		got := r.get("/api/listings/1", fields)
		if got.StatusCode != want || want == 200 && got.body != "body" || !strings.HasPrefix(got.cacheStatus(), "walpurge; hit") {
			t.Errorf("%s: %s %q", fields, got.Status, got.cacheStatus())
		}
		if want == 304 && (got.Header.Get("Etag") != `"v1"` || got.Header.Get("Content-Language") != "" || got.Header.Get("Date") == "") {
			t.Errorf("%s: %v", fields, got.Header)
		}
	}
	// If-None-Match takes the place of If-Modified-Since.
	if got := r.get("/api/listings/1", `If-None-Match: "x"`, "If-Modified-Since: "+modified); got.StatusCode != 200 {
		t.Error(got.Status)
	}
	if r.asked() != 1 {
		t.Error(r.requests)
	}
}

func TestRFC9111Section4_3_5HeadIsAnsweredFromGet(t *testing.T) {
	r := newRig(t, nil)
	r.say("four", `Etag: "v1"`)
	r.get("/api/listings/1")
	got := r.do("HEAD", "/api/listings/1", nil)
	r.want(got, "", "walpurge; hit")
	if got.ContentLength != 4 || got.Header.Get("Etag") != `"v1"` || r.asked() != 1 {
		t.Fatal(got.ContentLength, got.Header, r.asked())
	}
	if got := r.do("HEAD", "/api/listings/1", nil, `If-None-Match: "v1"`); got.StatusCode != 304 {
		t.Fatal(got.Status)
	}
}

func TestRFC9110Section14RangesOfGuardedResponses(t *testing.T) {
	r := newRig(t, nil)
	r.say("0123456789", `Etag: "v1"`)
	r.get("/api/listings/1")
	for fields, want := range map[string]string{
		"Range: bytes=0-3":                   "206 0123 bytes 0-3/10",
		"Range: bytes=7-":                    "206 789 bytes 7-9/10",
		"Range: bytes=-2":                    "206 89 bytes 8-9/10",
		"Range: bytes=-20":                   "206 0123456789 bytes 0-9/10",
		"Range: bytes=5-100":                 "206 56789 bytes 5-9/10",
		"Range: bytes=10-":                   "416  bytes */10",
		"Range: bytes=-0":                    "416  bytes */10",
		"Range: bytes=3-1":                   "200 0123456789 ",
		"Range: lines=0-3":                   "200 0123456789 ",
		"Range: bytes=0-3|If-Range: \"v1\"":  "206 0123 bytes 0-3/10",
		"Range: bytes=0-3|If-Range: \"v2\"":  "200 0123456789 ",
		"Range: bytes=0-3|If-Range: W/\"1\"": "200 0123456789 ",
	} {
		got := r.get("/api/listings/1", strings.Split(fields, "|")...)
		if s := fmt.Sprint(got.StatusCode, " ", got.body, " ", got.Header.Get("Content-Range")); s != want {
			t.Errorf("%s: %q, want %q", fields, s, want)
		}
	}
}

func TestRFC9111Section4_1VariantsAreKeptApart(t *testing.T) {
	r := newRig(t, nil)
	r.answer(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Vary", "Accept-Language, accept-encoding")
		_, _ = w.Write([]byte(req.Header.Get("Accept-Language") + " " + req.Header.Get("Accept-Encoding")))
	})
	for _, lang := range []string{"en", "fr"} {
		for _, coding := range []string{"gzip", "br"} {
			r.get("/api/listings/1", "Accept-Language: "+lang, "Accept-Encoding: "+coding)
		}
	}
	for _, lang := range []string{"en", "fr"} {
		for _, coding := range []string{"gzip", "br"} {
			got := r.get("/api/listings/1", "Accept-Language: "+strings.ToUpper(lang), "Accept-Encoding: deflate, "+coding+";q=0.5")
			r.want(got, lang+" "+coding, "walpurge; hit")
		}
	}
	r.commit(&row{"1", "Lagos", "1"}, &row{"1", "Lagos", "2"})
	r.want(r.get("/api/listings/1", "Accept-Language: en", "Accept-Encoding: gzip"), "en gzip", "walpurge; fwd=vary-miss")
}

func TestRFC9111Section4_1VariantsOfOneKeyAreCapped(t *testing.T) {
	r := newRig(t, nil)
	r.say("x", "Vary: User-Agent")
	for i := range 3 * store.MaxVariants {
		r.get("/api/listings/1", fmt.Sprint("User-Agent: browser ", i))
	}
	if n := r.proxy.memory.Entries(); n > store.MaxVariants+1 {
		t.Fatalf("%d entries", n)
	}
	r.want(r.get("/api/listings/1", fmt.Sprint("User-Agent: browser ", 3*store.MaxVariants-1)), "x", "walpurge; hit")
}

func TestRFC9111Section4_1JoinerWithAnotherVariantDoesNotGetTheLeaders(t *testing.T) {
	for _, early := range []bool{true, false} { // the head, before the joiner comes
		t.Run(fmt.Sprint("early=", early), func(t *testing.T) {
			r := newRig(t, nil)
			g := newGate()
			r.answer(func(w http.ResponseWriter, req *http.Request) {
				lang := req.Header.Get("Accept-Language")
				w.Header().Set("Vary", "Accept-Language")
				w.Header().Set("Content-Length", "2")
				if early {
					w.(http.Flusher).Flush()
				}
				if lang == "en" {
					g.pass()
				}
				_, _ = w.Write([]byte(lang))
			})
			first, second := make(chan reply, 1), make(chan reply, 1)
			go func() { first <- r.get("/api/listings/1", "Accept-Language: en") }()
			r.eventually("the leader is at the origin", func() bool { return g.arrived.Load() == 1 && r.arriving() == early })
			go func() { second <- r.get("/api/listings/1", "Accept-Language: fr") }()
			if early {
				if b := <-second; b.body != "fr" { // while the leader still waits
					t.Error(b.body)
				}
			} else {
				r.eventually("the joiner is there", func() bool { return r.proxy.clients.Connections() == 2 })
			}
			close(g.open)
			if a := <-first; a.body != "en" {
				t.Error(a.body)
			}
			if !early {
				if b := <-second; b.body != "fr" {
					t.Error(b.body)
				}
			}
		})
	}
}

func TestRFC9111Section5_2_1RequestDirectivesOneAfterAnother(t *testing.T) {
	r := newRig(t, plainHTTP)
	r.say("one", "Cache-Control: max-age=60")
	if got := r.get("/a", "Cache-Control: only-if-cached"); got.StatusCode != 504 {
		t.Fatal(got.Status)
	}
	r.get("/a")
	r.now.Add(int64(10 * time.Second))
	r.say("two", "Cache-Control: max-age=60")
	r.want(r.get("/a", "Cache-Control: only-if-cached"), "one", "walpurge; hit")
	r.want(r.get("/a", "Cache-Control: max-age=20"), "one", "walpurge; hit")
	r.want(r.get("/a", "Cache-Control: min-fresh=20"), "one", "walpurge; hit")
	r.want(r.get("/a", "Cache-Control: no-store"), "two", "walpurge; fwd=request; fwd-status=200; detail=client")
	r.want(r.get("/a"), "one", "walpurge; hit")
	r.want(r.get("/a", "Cache-Control: max-age=5"), "two", "walpurge; fwd=request; fwd-status=200; stored")
	r.say("three", "Cache-Control: max-age=60")
	r.want(r.get("/a", "Pragma: no-cache"), "three", "walpurge; fwd=request; fwd-status=200; stored")
	r.want(r.get("/a", "Cache-Control: min-fresh=100"), "three", "walpurge; fwd=request")
}

func TestRFC5861Section3StaleWhileRevalidate(t *testing.T) {
	r := newRig(t, plainHTTP)
	r.say("one", "Cache-Control: max-age=10, stale-while-revalidate=10")
	r.get("/a")
	r.say("two", "Cache-Control: max-age=10, stale-while-revalidate=10")
	r.now.Add(int64(12 * time.Second))
	r.want(r.get("/a"), "one", "walpurge; hit; ttl=-2")
	r.eventually("the background fill is stored", func() bool { return r.get("/a").body == "two" })
	r.now.Add(int64(30 * time.Second))
	r.say("three", "Cache-Control: max-age=10")
	r.want(r.get("/a"), "three", "walpurge; fwd=stale")
}

func TestRFC5861Section4StaleIfError(t *testing.T) {
	r := newRig(t, plainHTTP)
	r.say("one", "Cache-Control: max-age=10, stale-if-error=60", `Etag: "1"`)
	r.get("/a")
	r.now.Add(int64(12 * time.Second))
	r.origin.CloseClientConnections()
	r.origin.Close()
	r.want(r.get("/a"), "one", "walpurge; hit; ttl=-2; detail=origin")
	r.now.Add(int64(100 * time.Second))
	if got := r.get("/a"); got.StatusCode != 502 {
		t.Fatal(got.Status)
	}
}

func TestQueryRuleDropsParametersBeforeTheOrigin(t *testing.T) {
	r := newRig(t, func(_ *rig, o *Options) { o.Routes[1].Query = route.QueryRule{Names: []string{"utm_source"}} })
	r.get("/api/listings?utm_source=a&city=Lagos")
	r.want(r.get("/api/listings?city=Lagos&utm_source=b"), "ok", "walpurge; hit")
	if r.requests[0] != "GET /api/listings?city=Lagos" {
		t.Fatal(r.requests)
	}
}

func TestUncleanPathOfAGuardedSiteIsNotCached(t *testing.T) {
	r := newRig(t, nil)
	for i := range 2 {
		body := fmt.Sprint(i)
		r.say(body, "Cache-Control: max-age=60")
		c := r.dial()
		c.send("GET /api/x/../listings/1 HTTP/1.1\r\nHost: a\r\n\r\n")
		r.want(c.read("GET"), body, "walpurge; fwd=bypass; fwd-status=200; detail=path")
	}
}

// TestCookiesOutsideTheKeyDoNotReachASharedFill: an origin that greets whoever
// asks first must not greet everybody with that name.
func TestCookiesOutsideTheKeyDoNotReachASharedFill(t *testing.T) {
	r := newRig(t, func(_ *rig, o *Options) {
		o.Routes = append(o.Routes, route.Declaration{Pattern: "/shop", Vary: []route.Key{{Source: expr.Cookie, Name: "currency"}}})
	})
	r.answer(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		fmt.Fprintf(w, "cookie %q", req.Header.Get("Cookie"))
	})
	const mine = "Cookie: session=bob; currency=EUR; other=1"
	for path, want := range map[string]string{
		"/api/listings/1": `cookie ""`,
		"/plain/1":        `cookie ""`,
		"/shop":           `cookie "currency=EUR"`,
		"/other":          `cookie "session=bob; currency=EUR; other=1"`, // not declared: the origin's headers decide
	} {
		for range 2 {
			if got := r.get(path, mine); got.body != want {
				t.Errorf("%s: the origin got %s, want %s", path, got.body, want)
			}
		}
	}
	r.want(r.get("/api/listings/1", mine), `cookie ""`, "walpurge; hit")
}
