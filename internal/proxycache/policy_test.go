package proxycache

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
	guarded := question{guarded: true}
	tenSeconds := question{guarded: true, ttl: span10s()}
	auth := question{authorization: true}
	none := time.Duration(0)
	cases := []struct {
		name   string
		q      question
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
		{"cookie with public", question{}, 200, []string{"Set-Cookie: a=b", "Cache-Control: public, max-age=60"}, 0, SetCookie},
		{"ttl over max-age", tenSeconds, 200, []string{"Cache-Control: max-age=0, must-revalidate"}, 10 * time.Second, NoReason},
		{"ttl under s-maxage", tenSeconds, 200, []string{"Cache-Control: s-maxage=60"}, 10 * time.Second, NoReason},
		{"ttl over s-maxage", tenSeconds, 200, []string{"Cache-Control: s-maxage=3"}, 3 * time.Second, NoReason},
		{"ttl 0", question{guarded: true, ttl: &none}, 200, nil, 0, RouteTTL},
		{"no-cache with a validator", guarded, 200, []string{"Cache-Control: no-cache", `Etag: "1"`}, 0, NoReason},
		{"no-cache without", guarded, 200, []string{"Cache-Control: no-cache"}, 0, NoCache},
		{"vary *", guarded, 200, []string{"Vary: Accept, *"}, 0, VaryStar},

		{"undeclared, silent", question{}, 200, nil, 0, NoLifetime},
		{"undeclared, max-age", question{}, 200, []string{"Cache-Control: max-age=60"}, time.Minute, NoReason},
		{"quoted max-age", question{}, 200, []string{`Cache-Control: max-age="60"`}, time.Minute, NoReason},
		{"s-maxage first", question{}, 200, []string{"Cache-Control: max-age=60, s-maxage=5"}, 5 * time.Second, NoReason},
		{"two lines", question{}, 200, []string{"Cache-Control: public", "Cache-Control: max-age=7"}, 7 * time.Second, NoReason},
		{"the least max-age counts", question{}, 200, []string{"Cache-Control: max-age=7, max-age=70"}, 7 * time.Second, NoReason},
		{"quoted comma", question{}, 200, []string{`Cache-Control: x="a, no-store", max-age=7`}, 7 * time.Second, NoReason},
		{"unknown directive", question{}, 200, []string{"Cache-Control: foo=bar, max-age=7"}, 7 * time.Second, NoReason},
		{"max-age not a number", question{}, 200, []string{"Cache-Control: max-age=soon"}, 0, Expired},
		{"max-age overflows", question{}, 200, []string{"Cache-Control: max-age=99999999999999999999"}, maxDelta * time.Second, NoReason},
		{"Expires", question{}, 200, []string{"Expires: " + at(time.Minute), "Date: " + at(0)}, time.Minute, NoReason},
		{"Expires by Date", question{}, 200, []string{"Expires: " + at(time.Minute), "Date: " + at(30*time.Second)}, 30 * time.Second, NoReason},
		{"Expires 0", question{}, 200, []string{"Expires: 0"}, 0, Expired},
		{"max-age before Expires", question{}, 200, []string{"Expires: " + at(time.Hour), "Cache-Control: max-age=9"}, 9 * time.Second, NoReason},
		{"Age", question{}, 200, []string{"Cache-Control: max-age=60", "Age: 50"}, 10 * time.Second, NoReason},
		{"Age above", question{}, 200, []string{"Cache-Control: max-age=60", "Age: 70"}, 0, Expired},
		{"old Date", question{}, 200, []string{"Cache-Control: max-age=60", "Date: " + at(-20*time.Second)}, 40 * time.Second, NoReason},
		{"302 with a lifetime", question{}, 302, []string{"Cache-Control: max-age=60"}, time.Minute, NoReason},
		{"credentials", auth, 200, []string{"Cache-Control: max-age=60"}, 0, Authorized},
		{"credentials, public", auth, 200, []string{"Cache-Control: public, max-age=60"}, time.Minute, NoReason},
		{"credentials, s-maxage", auth, 200, []string{"Cache-Control: s-maxage=60"}, time.Minute, NoReason},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			v := judge(&c.q, &answer{status: c.status, header: parse(c.header...), sent: judged, received: judged})
			if v.store != (c.reason == NoReason) || v.reason != c.reason || v.store && v.lifetime != c.life {
				t.Errorf("store %v for %s (%q), want %s (%q)", v.store, v.lifetime, v.reason, c.life, c.reason)
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
		v := judge(&question{}, &answer{status: 200, header: parse(append(c.header, "Cache-Control: max-age=60")...), sent: judged.Add(-5 * time.Second), received: judged})
		if v.age != c.age || v.lifetime != time.Minute-c.age {
			t.Errorf("%q: age %s and a lifetime of %s, want %s", c.header, v.age, v.lifetime, c.age)
		}
	}
}

func TestRFC9111Section4_2_4StaleWindowsGiveWayToMustRevalidate(t *testing.T) {
	d := time.Minute
	q := question{swr: &d, sie: &d}
	for cc, want := range map[string]time.Duration{"max-age=1": d, "max-age=1, must-revalidate": 0, "s-maxage=1": 0, "no-cache": 0} {
		v := judge(&q, &answer{status: 200, header: parse("Cache-Control: "+cc, `Etag: "1"`), sent: judged, received: judged})
		if !v.store || v.swr != want || v.sie != want {
			t.Errorf("%s: %+v", cc, v)
		}
	}
}

func FuzzDirectives(f *testing.F) {
	f.Add("max-age=60, no-cache=\"a\\\"b\", public")
	f.Add(`a="`)
	f.Fuzz(func(_ *testing.T, v string) {
		d := parseDirectives(v)
		for _, n := range []delta{d.maxAge, d.sMaxAge, d.maxStale, d.minFresh} {
			if n.seconds < 0 || n.seconds > maxDelta {
				panic(n.seconds)
			}
		}
	})
}
