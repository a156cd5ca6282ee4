package proxycache

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestRFC9111Section5_3Expires(t *testing.T) {
	testReuse(t, []reuse{
		{"Expires", 0, expiring(date(time.Hour)), time.Minute, true},
		{"Expires now", 0, expiring(date(0)), 0, false},
		{"Expires 0", 0, expiring("0"), 0, false},
		{"Expires empty", 0, expiring(""), 0, false},
		{"two Expires", 0, []string{"Expires: " + date(time.Hour), "Expires: " + date(2*time.Hour)}, 0, false},
		{"Expires by a slow Date", 0, []string{"Expires: " + date(-time.Minute), "Date: " + date(-time.Hour)}, 0, false},
		{"no date", 0, expiring("soon"), 0, false},
		{"the past, then the future", 0, []string{"Expires: 0", "Expires: " + date(time.Hour)}, 0, false},
	})
}

func TestRFC9111Section5_2_2ResponseDirectives(t *testing.T) {
	cc := func(v string) []string { return []string{"Cache-Control: " + v} }
	testReuse(t, []reuse{
		{"no-store", 0, cc("no-store, max-age=60"), 0, false},
		{"no-store, letter case", 0, cc("max-age=60, No-StOrE"), 0, false},
		{"no-cache", 0, cc("no-cache, max-age=60"), 0, false},
		{"no-cache with fields", 0, cc(`no-cache="foo", max-age=60`), 0, true},
		{"no-cache with fields that are needed", 0, cc(`no-cache="content-type", max-age=60`), 0, false},
		{"no-cache with no fields", 0, cc(`no-cache="", max-age=60`), 0, false},
		{"no-cache with what is no list", 0, cc(`no-cache="a b", max-age=60`), 0, false},
		{"no-cache both ways", 0, cc(`no-cache, no-cache="foo", max-age=60`), 0, false},
		{"private", 0, cc("private, max-age=60"), 0, false},
		{"private with fields", 0, cc(`private="foo", max-age=60`), 0, true},
		{"must-revalidate, fresh", 0, cc("must-revalidate, max-age=60"), 0, true},
		{"must-revalidate, stale", 0, cc("must-revalidate, max-age=60"), 61 * time.Second, false},
		{"must-understand over no-store", 0, cc("max-age=60, no-store, must-understand"), 0, true},
		{"must-understand, other status", 599, cc("max-age=60, must-understand"), 0, false},
		{"must-understand, both", 599, cc("max-age=60, no-store, must-understand"), 0, false},
	})
}

func TestRFC9111Section5_2_1RequestDirectives(t *testing.T) {
	for _, c := range []struct {
		ask    string
		Record string
		wait   time.Duration
		reused bool
	}{
		{"Cache-Control: max-age=0", "max-age=60", 0, false},
		{"Cache-Control: max-age=10", "max-age=60", 5 * time.Second, true},
		{"Cache-Control: max-age=10", "max-age=60", 11 * time.Second, false},
		{"Cache-Control: min-fresh=10", "max-age=60", 40 * time.Second, true},
		{"Cache-Control: min-fresh=10", "max-age=60", 55 * time.Second, false},
		{"Cache-Control: min-fresh=1, min-fresh=10", "max-age=60", 55 * time.Second, false},
		{"Cache-Control: max-stale=10", "max-age=60", 65 * time.Second, true},
		{"Cache-Control: max-stale=10", "max-age=60", 75 * time.Second, false},
		{"Cache-Control: max-stale", "max-age=60", time.Hour, true},
		{"Cache-Control: max-stale, max-stale=10", "max-age=60", time.Hour, false},
		{"Cache-Control: max-stale", "max-age=60, must-revalidate", time.Hour, false},
		{"Cache-Control: max-stale", "max-age=60, proxy-revalidate", time.Hour, false},
		{"Cache-Control: max-stale", "s-maxage=60", time.Hour, false},
		{"Cache-Control: max-stale, max-age=70", "max-age=60", 65 * time.Second, true},
		{"Cache-Control: max-stale, max-age=70", "max-age=60", 75 * time.Second, false},
		{"Cache-Control: max-stale, no-cache", "max-age=60", 0, false},
		{"Cache-Control: no-cache", "max-age=60", 0, false},
		{"Cache-Control: No-Cache", "max-age=60", 0, false},
		{"Cache-Control: no-store", "max-age=60", 0, false},
		{"Cache-Control: only-if-cached", "max-age=60", 0, true},
	} {
		t.Run(c.ask+" for "+c.Record, func(t *testing.T) {
			r := newRig(t, plainHTTP)
			r.counted(200, "Cache-Control: "+c.Record)
			r.get("/a")
			r.now.Add(int64(c.wait))
			if got := r.get("/a", strings.Split(c.ask, "\n")...); (got.body == "1") != c.reused {
				t.Fatalf("response %s, %s", got.body, got.cacheStatus())
			}
		})
	}
	r := newRig(t, plainHTTP)
	if got := r.get("/nothing", "Cache-Control: only-if-cached"); got.StatusCode != 504 || r.asked() != 0 {
		t.Fatal(got.Status)
	}
}

func TestRFC9111Section5_4PragmaInRequests(t *testing.T) {
	for ask, reused := range map[string]bool{
		"Pragma: no-cache":                           false,
		"Pragma: No-Cache":                           false,
		"Pragma: foo":                                true,
		"Cache-Control: foo\nPragma: no-cache":       true,
		"Cache-Control: max-age=9\nPragma: no-cache": true,
	} {
		r := newRig(t, plainHTTP)
		r.counted(200, "Cache-Control: max-age=60")
		r.get("/a")
		if got := r.get("/a", strings.Split(ask, "\n")...); (got.body == "1") != reused {
			t.Errorf("%q: response %s, %s", ask, got.body, got.cacheStatus())
		}
	}
}

func TestRFC9111Section5_4PragmaInResponses(t *testing.T) {
	old := "Last-Modified: " + date(-10*24*time.Hour)
	testReuse(t, []reuse{
		{"nothing else said", 0, []string{old, "Pragma: no-cache"}, 0, false},
		{"another word", 0, []string{old, "Pragma: foo"}, 0, true},
		{"beside Cache-Control", 0, []string{"Cache-Control: max-age=60", "Pragma: no-cache"}, 0, true},
		{"beside CDN-Cache-Control", 0, []string{"CDN-Cache-Control: max-age=60", "Pragma: no-cache"}, 0, true},
		{"beside Expires", 0, append(expiring(date(time.Hour)), "Pragma: no-cache"), 0, false},
		{"beside Expires, letter case", 0, append(expiring(date(time.Hour)), "Pragma: No-Cache"), 0, false},
	})
}

// Immutable is a word for browsers that reload: here a response with it ends
// with its lifetime, and is validated when a client asks for that.
func TestRFC8246Section2ImmutableChangesNothing(t *testing.T) {
	testReuse(t, []reuse{
		{"fresh", 0, []string{"Cache-Control: immutable, max-age=60"}, 59 * time.Second, true},
		{"stale", 0, []string{"Cache-Control: immutable, max-age=60"}, 61 * time.Second, false},
		{"no lifetime", 0, []string{"Cache-Control: immutable"}, 0, false},
	})
	r := newRig(t, plainHTTP)
	r.counted(200, "Cache-Control: immutable, max-age=60")
	r.get("/a")
	r.want(r.get("/a", "Cache-Control: no-cache"), "2", "walpurge; fwd=request")
}

// A session's cookie never gets to anybody else, whatever lifetime stands
// beside it.
func TestRFC9111Section7_3SetCookieIsNotStored(t *testing.T) {
	cookie := func(cc string) []string { return []string{"Set-Cookie: session=1", "Cache-Control: " + cc} }
	testReuse(t, []reuse{
		{"max-age", 0, cookie("max-age=60"), 0, false},
		{"public", 0, cookie("public, max-age=60"), 0, false},
		{"s-maxage", 0, cookie("s-maxage=60"), 0, false},
		{"Expires", 0, append(expiring(date(time.Hour)), "Set-Cookie: session=1"), 0, false},
		{"another status", 404, cookie("max-age=60"), 0, false},
		{"another field kept out", 0, cookie(`max-age=60, no-cache="x-a"`), 0, false},
		{"no-cache keeps it out", 0, cookie(`max-age=60, no-cache="set-cookie"`), 0, true},
		{"private keeps it out", 0, cookie(`max-age=60, private="Set-Cookie"`), 0, true},
	})
	r := newRig(t, plainHTTP)
	r.say("body", cookie(`max-age=60, private="Set-Cookie"`)...)
	r.get("/a")
	if got := r.get("/a"); got.Header.Get("Set-Cookie") != "" {
		t.Error(got.Header)
	}
}

func TestRFC9111Section5_2_2_4NoCacheIsSharedWithNobody(t *testing.T) {
	r := newRig(t, plainHTTP)
	g := newGate()
	r.answer(func(w http.ResponseWriter, req *http.Request) {
		g.pass()
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("Etag", `"`+req.Header.Get("X-User")+`"`)
		_, _ = io.WriteString(w, req.Header.Get("X-User"))
	})
	got := make(chan reply, 2)
	for _, user := range []string{"her", "him"} {
		go func() {
			rep, err := r.try("GET", "/a", nil, "X-User: "+user)
			if err != nil || rep.body != user {
				t.Errorf("%s got %q, %v", user, rep.body, err)
			}
			got <- rep
		}()
	}
	r.eventually("one of them asks", func() bool { return r.asked() > 0 })
	close(g.open)
	<-got
	<-got
}

func TestRFC9213Section2_2TargetedDirectives(t *testing.T) {
	testReuse(t, []reuse{
		{"own over CDN", 0, []string{"Walpurge-Cache-Control: max-age=60", "CDN-Cache-Control: no-store", "Cache-Control: no-store"}, 0, true},
		{"own over Cache-Control", 0, []string{"Walpurge-Cache-Control: no-store", "Cache-Control: max-age=60"}, 0, false},
		{"CDN over Cache-Control", 0, []string{"CDN-Cache-Control: max-age=60", "Cache-Control: no-store"}, 30 * time.Second, true},
		{"CDN max-age 0", 0, []string{"CDN-Cache-Control: max-age=0", "Cache-Control: max-age=60"}, 0, false},
		{"CDN over Expires", 0, []string{"CDN-Cache-Control: max-age=60", "Expires: 0"}, 0, true},
		{"Expires doesn't count", 0, []string{"CDN-Cache-Control: public", "Expires: " + date(time.Hour)}, 0, false},
		{"CDN private", 0, []string{"CDN-Cache-Control: private", "Cache-Control: max-age=60"}, 0, false},
		{"CDN no-cache", 0, []string{"CDN-Cache-Control: no-cache", "Cache-Control: max-age=60"}, 0, false},
		{"false is not said", 0, []string{"CDN-Cache-Control: no-store=?0, max-age=60"}, 0, true},
		{"unknown directive", 0, []string{"CDN-Cache-Control: foo, max-age=60"}, 0, true},
		{"no dictionary", 0, []string{"CDN-Cache-Control: Max-Age=;60", "Cache-Control: max-age=60"}, 0, true},
		{"empty", 0, []string{"CDN-Cache-Control: ", "Cache-Control: max-age=60"}, 0, true},
		{"wrong type", 0, []string{`CDN-Cache-Control: max-age="60"`}, 0, false},
		{"negative", 0, []string{"CDN-Cache-Control: max-age=-1"}, 0, false},
	})
}

func TestRFC9213Section2_2OwnDirectivesOutliveA304(t *testing.T) {
	r := newRig(t, plainHTTP)
	r.say("body", "Walpurge-Cache-Control: max-age=5", "Cache-Control: max-age=600", `Etag: "1"`)
	r.get("/a")
	r.now.Add(int64(6 * time.Second))
	r.answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(304) })
	r.want(r.get("/a"), "body", "walpurge; fwd=stale; fwd-status=304; stored")
	r.now.Add(int64(6 * time.Second))
	r.want(r.get("/a"), "body", "walpurge; fwd=stale; fwd-status=304; stored")
}

// Warning is obsolete and nobody's business but the client's.
func TestRFC9111Section5_5WarningIsPassedOn(t *testing.T) {
	r := newRig(t, plainHTTP)
	r.say("a", "Cache-Control: max-age=60", `Warning: 199 - "old"`)
	for range 2 {
		if got := r.get("/a").Header.Values("Warning"); len(got) != 1 || got[0] != `199 - "old"` {
			t.Fatalf("%q", got)
		}
	}
}
