package rfc9111

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// parse makes a header of "Name: value" lines.
func parse(lines ...string) http.Header {
	h := make(http.Header)
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		h.Add(name, value)
	}
	return h
}

var judged = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(d time.Duration) string { return judged.Add(d).Format(http.TimeFormat) }

func span10s() *time.Duration { d := 10 * time.Second; return &d }

func TestRFC9111Section3Judge(t *testing.T) {
	guarded := Question{Guarded: true}
	tenSeconds := Question{Guarded: true, TTL: span10s()}
	plainTTL := Question{TTL: span10s()}
	auth := Question{Authorization: true}
	none := time.Duration(0)
	cases := []struct {
		name   string
		q      Question
		status int
		header []string
		life   time.Duration
		reason Reason
	}{
		{"declared, origin silent", guarded, 200, nil, time.Hour, NoReason},
		{"declared, origin says", guarded, 200, []string{"Cache-Control: max-age=5"}, 5 * time.Second, NoReason},
		{"declared 404", guarded, 404, nil, time.Hour, NoReason},
		{"declared 302", guarded, 302, nil, 0, StatusCode},
		{"declared 500 with a lifetime", guarded, 500, []string{"Cache-Control: max-age=5"}, 0, StatusCode},
		{"declared 503", guarded, 503, nil, 0, StatusCode},
		{"206", guarded, 206, nil, 0, StatusCode},
		{"304", guarded, 304, nil, 0, StatusCode},
		{"no-store", guarded, 200, []string{"Cache-Control: no-store"}, 0, NoStore},
		{"no-store with ttl", tenSeconds, 200, []string{"Cache-Control: No-Store"}, 0, NoStore},
		{"private with ttl", tenSeconds, 200, []string{"Cache-Control: private, max-age=60"}, 0, Private},
		{"private with fields", guarded, 200, []string{`Cache-Control: private="set-cookie, x", max-age=60`}, time.Minute, NoReason},
		{"cookie with ttl", tenSeconds, 200, []string{"Set-Cookie: a=b"}, 0, SetCookie},
		{"cookie with public", Question{}, 200, []string{"Set-Cookie: a=b", "Cache-Control: public, max-age=60"}, 0, SetCookie},
		{"ttl over max-age", tenSeconds, 200, []string{"Cache-Control: max-age=0, must-revalidate"}, 10 * time.Second, NoReason},
		{"ttl under s-maxage", tenSeconds, 200, []string{"Cache-Control: s-maxage=60"}, 10 * time.Second, NoReason},
		{"ttl over s-maxage", tenSeconds, 200, []string{"Cache-Control: s-maxage=3"}, 3 * time.Second, NoReason},
		{"ttl 0", Question{Guarded: true, TTL: &none}, 200, nil, 0, RouteTTL},
		{"ttl and an error", plainTTL, 503, nil, 0, StatusCode},
		{"ttl and an error with dependencies", tenSeconds, 503, nil, 0, StatusCode},
		{"ttl and a redirect for now", plainTTL, 302, nil, 0, StatusCode},
		{"ttl and an error that is public", plainTTL, 500, []string{"Cache-Control: public"}, 0, StatusCode},
		{"ttl and an error with a lifetime", plainTTL, 503, []string{"Cache-Control: max-age=60"}, time.Minute, NoReason},
		{"ttl and an error with a targeted lifetime", plainTTL, 429, []string{"Cdn-Cache-Control: max-age=60"}, time.Minute, NoReason},
		{"ttl and an error with Expires", plainTTL, 403, []string{"Expires: " + at(time.Minute), "Date: " + at(0)}, time.Minute, NoReason},
		{"ttl and an error that is over", plainTTL, 503, []string{"Cache-Control: max-age=0"}, 0, Expired},
		{"ttl and an error that is private", plainTTL, 503, []string{"Cache-Control: private, max-age=60"}, 0, Private},
		{"ttl and what is gone", plainTTL, 410, nil, 10 * time.Second, NoReason},
		{"no-cache with a validator", guarded, 200, []string{"Cache-Control: no-cache", `Etag: "1"`}, 0, NoReason},
		{"no-cache without", guarded, 200, []string{"Cache-Control: no-cache"}, 0, NoCache},
		{"vary *", guarded, 200, []string{"Vary: Accept, *"}, 0, VaryStar},

		{"undeclared, silent", Question{}, 200, nil, 0, NoLifetime},
		{"undeclared, max-age", Question{}, 200, []string{"Cache-Control: max-age=60"}, time.Minute, NoReason},
		{"quoted max-age", Question{}, 200, []string{`Cache-Control: max-age="60"`}, time.Minute, NoReason},
		{"s-maxage first", Question{}, 200, []string{"Cache-Control: max-age=60, s-maxage=5"}, 5 * time.Second, NoReason},
		{"two lines", Question{}, 200, []string{"Cache-Control: public", "Cache-Control: max-age=7"}, 7 * time.Second, NoReason},
		{"the least max-age counts", Question{}, 200, []string{"Cache-Control: max-age=7, max-age=70"}, 7 * time.Second, NoReason},
		{"quoted comma", Question{}, 200, []string{`Cache-Control: x="a, no-store", max-age=7`}, 7 * time.Second, NoReason},
		{"unknown directive", Question{}, 200, []string{"Cache-Control: foo=bar, max-age=7"}, 7 * time.Second, NoReason},
		{"max-age not a number", Question{}, 200, []string{"Cache-Control: max-age=soon"}, 0, Expired},
		{"max-age overflows", Question{}, 200, []string{"Cache-Control: max-age=99999999999999999999"}, MaxDelta * time.Second, NoReason},
		{"Expires", Question{}, 200, []string{"Expires: " + at(time.Minute), "Date: " + at(0)}, time.Minute, NoReason},
		{"Expires by Date", Question{}, 200, []string{"Expires: " + at(time.Minute), "Date: " + at(30*time.Second)}, 30 * time.Second, NoReason},
		{"Expires 0", Question{}, 200, []string{"Expires: 0"}, 0, Expired},
		{"max-age before Expires", Question{}, 200, []string{"Expires: " + at(time.Hour), "Cache-Control: max-age=9"}, 9 * time.Second, NoReason},
		{"Age", Question{}, 200, []string{"Cache-Control: max-age=60", "Age: 50"}, 10 * time.Second, NoReason},
		{"Age above", Question{}, 200, []string{"Cache-Control: max-age=60", "Age: 70"}, 0, Expired},
		{"old Date", Question{}, 200, []string{"Cache-Control: max-age=60", "Date: " + at(-20*time.Second)}, 40 * time.Second, NoReason},
		{"302 with a lifetime", Question{}, 302, []string{"Cache-Control: max-age=60"}, time.Minute, NoReason},
		{"credentials", auth, 200, []string{"Cache-Control: max-age=60"}, 0, Authorized},
		{"credentials, public", auth, 200, []string{"Cache-Control: public, max-age=60"}, time.Minute, NoReason},
		{"credentials, s-maxage", auth, 200, []string{"Cache-Control: s-maxage=60"}, time.Minute, NoReason},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			v := Judge(&c.q, &Answer{Status: c.status, Header: parse(c.header...), Sent: judged, Received: judged})
			if v.Store != (c.reason == NoReason) || v.Reason != c.reason || v.Store && v.Lifetime != c.life {
				t.Errorf("store %v for %s (%q), want %s (%q)", v.Store, v.Lifetime, v.Reason, c.life, c.reason)
			}
		})
	}
}

// The time that the origin took counts: the response may have been made when
// the request was sent.
func TestRFC9111Section4_2_3TheOriginsDelayIsAge(t *testing.T) {
	for _, c := range []struct {
		header []string
		age    time.Duration
	}{
		{nil, 5 * time.Second},
		{[]string{"Age: 20"}, 25 * time.Second},
		{[]string{"Age: 20", "Date: " + at(-10*time.Second)}, 25 * time.Second},
		{[]string{"Date: " + at(-10*time.Second)}, 10 * time.Second},
		{[]string{"Date: " + at(10*time.Second)}, 5 * time.Second},
	} {
		v := Judge(&Question{}, &Answer{Status: 200, Header: parse(append(c.header, "Cache-Control: max-age=60")...), Sent: judged.Add(-5 * time.Second), Received: judged})
		if v.Age != c.age || v.Lifetime != time.Minute-c.age {
			t.Errorf("%q: age %s and a lifetime of %s, want %s", c.header, v.Age, v.Lifetime, c.age)
		}
	}
}

func TestRFC9111Section4_2_4StaleWindowsGiveWayToMustRevalidate(t *testing.T) {
	d := time.Minute
	q := Question{StaleWhileRevalidate: &d, StaleIfError: &d}
	for cc, want := range map[string]time.Duration{"max-age=1": d, "max-age=1, must-revalidate": 0, "s-maxage=1": 0, "no-cache": 0} {
		v := Judge(&q, &Answer{Status: 200, Header: parse("Cache-Control: "+cc, `Etag: "1"`), Sent: judged, Received: judged})
		if !v.Store || v.StaleWhileRevalidate != want || v.StaleIfError != want {
			t.Errorf("%s: %+v", cc, v)
		}
	}
}

func TestRFC9110Section15_1StatusCodes(t *testing.T) {
	for status, want := range map[int]struct{ byDefault, fails, passing bool }{
		200: {byDefault: true}, 204: {byDefault: true}, 206: {byDefault: true}, 301: {byDefault: true}, 302: {}, 307: {}, 304: {},
		404: {byDefault: true}, 405: {byDefault: true}, 410: {byDefault: true}, 414: {byDefault: true}, 501: {byDefault: true}, 451: {},
		400: {fails: true}, 401: {fails: true}, 403: {fails: true}, 416: {fails: true}, 431: {fails: true}, 499: {fails: true},
		408: {fails: true, passing: true}, 425: {fails: true, passing: true}, 429: {fails: true, passing: true},
		500: {fails: true, passing: true}, 502: {fails: true, passing: true}, 503: {fails: true, passing: true}, 504: {fails: true, passing: true},
		505: {fails: true, passing: true}, 520: {fails: true, passing: true}, 599: {fails: true, passing: true},
	} {
		if KeptByDefault(status) != want.byDefault || Fails(status) != want.fails || Passing(status) != want.passing {
			t.Errorf("%d: kept by default %t, fails %t, passing %t", status, KeptByDefault(status), Fails(status), Passing(status))
		}
	}
}

// A route's windows are about its pages: an error is never used past its
// lifetime.
func TestRFC9111Section4_2_4ErrorsAreNeverStale(t *testing.T) {
	d := time.Minute
	q := Question{TTL: &d, StaleWhileRevalidate: &d, StaleIfError: &d}
	for status, want := range map[int]bool{200: true, 404: true, 302: true, 500: false, 429: false, 403: false} {
		v := Judge(&q, &Answer{Status: status, Header: parse("Cache-Control: max-age=1, stale-if-error=9, stale-while-revalidate=9"), Sent: judged, Received: judged})
		if !v.Store || v.MayStale != want || (v.StaleIfError > 0) != want || (v.StaleWhileRevalidate > 0) != want {
			t.Errorf("%d: %+v", status, v)
		}
	}
}

func FuzzDirectives(f *testing.F) {
	f.Add("max-age=60, no-cache=\"a\\\"b\", public")
	f.Add(`a="`)
	f.Fuzz(func(_ *testing.T, v string) {
		d := parseDirectives(v)
		for _, n := range []delta{d.maxAge, d.sMaxAge, d.maxStale, d.minFresh} {
			if n.seconds < 0 || n.seconds > MaxDelta {
				panic(n.seconds)
			}
		}
	})
}
