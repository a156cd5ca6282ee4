package proxycache

import (
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"time"

	"walpurge/internal/proxycache/store"
	"walpurge/internal/rfc9111"
)

func TestRFC9111Section4_3_4A304AboutAnotherResponse(t *testing.T) {
	for name, c := range map[string]struct {
		Record, said []string
		confirmed    bool
	}{
		"the same tag":               {[]string{`Etag: "1"`}, []string{`Etag: "1"`}, true},
		"another strong tag":         {[]string{`Etag: "1"`}, []string{`Etag: "2"`}, false},
		"strong for weak":            {[]string{`Etag: W/"1"`}, []string{`Etag: "1"`}, false},
		"weak for strong":            {[]string{`Etag: "1"`}, []string{`Etag: W/"1"`}, true},
		"another weak tag":           {[]string{`Etag: W/"1"`}, []string{`Etag: W/"2"`}, false},
		"no validator":               {[]string{`Etag: "1"`}, nil, true},
		"the same date":              {[]string{"Last-Modified: Wed, 01 Jan 2020 00:00:00 GMT"}, []string{"Last-Modified: Wed, 01 Jan 2020 00:00:00 GMT"}, true},
		"another date":               {[]string{"Last-Modified: Wed, 01 Jan 2020 00:00:00 GMT"}, []string{"Last-Modified: Thu, 02 Jan 2020 00:00:00 GMT"}, false},
		"the tag counts, not a date": {[]string{`Etag: "1"`, "Last-Modified: Wed, 01 Jan 2020 00:00:00 GMT"}, []string{`Etag: "1"`, "Last-Modified: Thu, 02 Jan 2020 00:00:00 GMT"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, plainHTTP)
			r.say("one", append(c.Record, "Cache-Control: max-age=1", "X-Of: one")...)
			r.get("/a")
			r.now.Add(int64(2 * time.Second))
			r.answer(func(w http.ResponseWriter, req *http.Request) {
				w.Header().Set("Cache-Control", "max-age=60")
				w.Header().Set("X-Of", "two")
				if req.Header.Get("If-None-Match")+req.Header.Get("If-Modified-Since") == "" {
					_, _ = io.WriteString(w, "two")
					return
				}
				for _, f := range c.said {
					name, value, _ := strings.Cut(f, ": ")
					w.Header().Set(name, value)
				}
				w.WriteHeader(304)
			})
			want := map[bool]string{true: "one", false: "two"}[c.confirmed]
			for range 2 {
				if got := r.get("/a"); got.body != want || got.Header.Get("X-Of") != "two" {
					t.Fatal(got.body, got.Header)
				}
			}
			if asked := r.asked(); asked != map[bool]int{true: 2, false: 3}[c.confirmed] {
				t.Fatal(asked, "requests to the origin")
			}
		})
	}
}

func TestRFC9111Section3_2FieldsThatA304Updates(t *testing.T) {
	r := newRig(t, plainHTTP)
	r.say("12345", "Cache-Control: max-age=1", `Etag: "1"`, "Content-Type: text/plain", "Content-Md5: a", "Content-Foo: a", "X-Frame-Options: a", "Expires: "+date(time.Hour))
	r.get("/a")
	r.now.Add(int64(2 * time.Second))
	expires := date(2 * time.Hour)
	r.answer(func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := w.(http.Hijacker).Hijack() // net/http's server leaves Content-Type and Content-Length out of a 304
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 304 Not Modified\r\nEtag: \"1\"\r\nCache-Control: max-age=60\r\nExpires: "+expires+"\r\n"+
			"Content-Md5: b\r\nContent-Foo: b\r\nX-Frame-Options: b\r\nContent-Encoding: b\r\nContent-Range: b\r\nContent-Length: 10\r\n"+
			"Content-Type: text/plain;charset=utf-8\r\nConnection: x-hop\r\nX-Hop: b\r\n\r\n")
		_ = c.Close()
	})
	for range 2 {
		got := r.get("/a")
		for name, want := range map[string]string{
			"Content-Md5": "b", "Content-Foo": "b", "X-Frame-Options": "b", "Content-Type": "text/plain;charset=utf-8", "Expires": expires,
			"Content-Length": "5", "Content-Encoding": "", "Content-Range": "", "X-Hop": "",
		} {
			if got.Header.Get(name) != want {
				t.Errorf("%s: %q, want %q", name, got.Header.Get(name), want)
			}
		}
	}
}

func TestRFC9111Section4_3_5HeadUpdatesWhatIsStored(t *testing.T) {
	for name, c := range map[string]struct {
		status  int
		said    []string
		updated bool // the stored response is used again, with the new fields
		ended   bool // it isn't used any more
	}{
		"no validator":        {200, nil, true, false},
		"the same tag":        {200, []string{`Etag: "1"`, "Content-Length: 4"}, true, false},
		"another tag":         {200, []string{`Etag: "2"`}, false, true},
		"another length":      {200, []string{`Etag: "1"`, "Content-Length: 5"}, false, true},
		"another date":        {200, []string{"Last-Modified: Wed, 01 Jan 2020 00:00:00 GMT"}, false, true},
		"not 200":             {410, []string{`Etag: "1"`}, false, false},
		"not to be kept":      {200, []string{`Etag: "1"`, "Cache-Control: no-store"}, false, true},
		"varies by something": {200, []string{`Etag: "1"`, "Vary: X-Foo"}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, plainHTTP)
			r.say("body", "Cache-Control: max-age=2", `Etag: "1"`, "X-Of: get", "X-Kept: 1")
			r.get("/a")
			r.now.Add(int64(3 * time.Second))
			r.answer(func(w http.ResponseWriter, req *http.Request) {
				w.Header().Set("Cache-Control", "max-age=60")
				w.Header().Set("X-Of", "head")
				for _, f := range c.said {
					name, value, _ := strings.Cut(f, ": ")
					w.Header().Set(name, value)
				}
				w.WriteHeader(c.status)
			})
			if got := r.do("HEAD", "/a", nil); got.StatusCode != c.status || got.Header.Get("X-Of") != "head" || c.updated && got.Header.Get("X-Kept") != "1" {
				t.Fatal(got.Status, got.Header)
			}
			r.answer(func(w http.ResponseWriter, req *http.Request) {
				if c.ended == (req.Header.Get("If-None-Match") != "") {
					t.Errorf("If-None-Match: %q", req.Header.Get("If-None-Match"))
				}
				_, _ = io.WriteString(w, "new")
			})
			got := r.get("/a")
			if c.updated && (got.body != "body" || got.Header.Get("X-Of") != "head" || !strings.HasPrefix(got.cacheStatus(), "walpurge; hit; ttl=59")) {
				t.Fatal(got.body, got.Header)
			}
			if !c.updated && got.body != "new" {
				t.Fatal(got.body)
			}
		})
	}
}

func TestRFC9111Section4_2_4OriginOutOfReach(t *testing.T) {
	for cc, used := range map[string]bool{
		"max-age=2": true, "max-age=2, must-revalidate": false, "max-age=2, proxy-revalidate": false, "s-maxage=2": false, "no-cache": false,
	} {
		t.Run(cc, func(t *testing.T) {
			r := newRig(t, plainHTTP)
			r.say("body", "Cache-Control: "+cc, `Etag: "1"`)
			r.get("/a")
			r.now.Add(int64(3 * time.Second))
			r.answer(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
			if got := r.get("/a"); (got.StatusCode == 200) != used {
				t.Fatal(got.Status, got.cacheStatus())
			}
			if got := r.get("/a", "Cache-Control: no-cache"); got.StatusCode != 502 {
				t.Fatal("the client wants no stored response and got", got.Status)
			}
			r.now.Add(int64(store.CutGrace))
			if got := r.get("/a"); got.StatusCode != 502 {
				t.Fatal("after the grace:", got.Status)
			}
			r.counted(503)
			if got := r.get("/a"); got.StatusCode != 503 {
				t.Fatal("the origin has answered, and the client got", got.Status)
			}
		})
	}
}

func TestRFC9111Section4_3_2ConditionsOfAColdMiss(t *testing.T) {
	for _, cc := range []string{"max-age=60", "private"} {
		r := newRig(t, plainHTTP)
		r.say("body", "Cache-Control: "+cc, `Etag: "1"`)
		if got := r.get("/a", `If-None-Match: W/"1"`); got.StatusCode != 304 || got.Header.Get("Etag") != `"1"` {
			t.Fatal(cc, got.Status, got.Header)
		}
		if got := r.get("/a", `If-None-Match: "2"`); got.StatusCode != 200 || got.body != "body" {
			t.Fatal(cc, got.Status)
		}
	}
}

func TestRFC9111Section5_2_2_4NamedFieldsAreNotStored(t *testing.T) {
	for _, cc := range []string{`no-cache="x-a, Set-Cookie"`, `private="x-a,set-cookie"`} {
		r := newRig(t, plainHTTP)
		r.say("body", "Cache-Control: max-age=1, "+cc, "X-A: 1", "X-B: 2", "Set-Cookie: user=1", `Etag: "1"`)
		if got := r.get("/a"); got.Header.Get("X-A") != "1" || got.Header.Get("Set-Cookie") != "user=1" {
			t.Fatal("the first client lacks its fields:", got.Header)
		}
		for range 2 {
			got := r.get("/a")
			if got.Header.Get("X-A") != "" || got.Header.Get("Set-Cookie") != "" || got.Header.Get("X-B") != "2" {
				t.Fatal(cc, got.Header)
			}
			r.want(got, "body", "walpurge; hit")
		}
		r.now.Add(int64(2 * time.Second))
		r.answer(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-A", "2")
			w.Header().Set("Set-Cookie", "user=2")
			w.WriteHeader(304)
		})
		if got := r.get("/a"); got.Header.Get("X-A") != "2" || got.Header.Get("Set-Cookie") != "user=2" {
			t.Fatal("who caused the validation lacks its fields:", got.Header)
		}
		if got := r.get("/a"); got.Header.Get("X-A") != "" || got.Header.Get("Set-Cookie") != "" {
			t.Fatal(cc, got.Header)
		}
	}
}

func TestRFC9110Section9_3_3ResponsesToPost(t *testing.T) {
	for name, c := range map[string]struct {
		fields []string
		kept   bool
	}{
		"its own location":     {[]string{"Cache-Control: max-age=60", "Content-Location: /a"}, true},
		"Expires":              {[]string{"Expires: " + date(time.Hour), "Content-Location: /a"}, true},
		"another location":     {[]string{"Cache-Control: max-age=60", "Content-Location: /b"}, false},
		"no location":          {[]string{"Cache-Control: max-age=60"}, false},
		"no lifetime":          {[]string{"Last-Modified: " + date(-time.Hour), "Content-Location: /a"}, false},
		"private":              {[]string{"Cache-Control: max-age=60, private", "Content-Location: /a"}, false},
		"with a cookie":        {[]string{"Cache-Control: max-age=60", "Content-Location: /a", "Set-Cookie: a=b"}, false},
		"elsewhere by an host": {[]string{"Cache-Control: max-age=60", "Content-Location: http://elsewhere.test/a"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, plainHTTP)
			r.say("old", "Cache-Control: max-age=60")
			r.get("/a")
			r.say("made", c.fields...)
			if got := r.do("POST", "/a", strings.NewReader("x")); got.body != "made" {
				t.Fatal(got.body)
			}
			r.say("got", "Cache-Control: max-age=60")
			if got := r.get("/a"); (got.body == "made") != c.kept || got.body == "old" {
				t.Fatal(got.body, got.cacheStatus())
			}
		})
	}
}

// ranged makes the origin serve data by ranges.
func (r *rig) ranged(data string, fields ...string) {
	r.answer(func(w http.ResponseWriter, req *http.Request) {
		for _, f := range fields {
			name, value, _ := strings.Cut(f, ": ")
			w.Header().Set(name, value)
		}
		http.ServeContent(w, req, "", time.Time{}, strings.NewReader(data))
	})
}

func TestRFC9111Section3_3PartsAreKept(t *testing.T) {
	r := newRig(t, plainHTTP)
	r.ranged("0123456789", "Cache-Control: max-age=60", "Content-Type: text/plain")
	if got := r.get("/a", "Range: bytes=4-8"); got.body != "45678" {
		t.Fatal(got.body)
	}
	before := r.asked()
	for ask, want := range map[string]string{"bytes=4-8": "45678 4-8/10", "bytes=5-6": "56 5-6/10", "bytes=-3": "", "bytes=3-5": "", "bytes=8-": ""} {
		got := r.get("/a", "Range: "+ask, "Cache-Control: only-if-cached")
		if want == "" {
			if got.StatusCode != 504 {
				t.Error(ask, got.Status, got.body)
			}
			continue
		}
		if s := got.body + " " + strings.TrimPrefix(got.Header.Get("Content-Range"), "bytes "); s != want || got.StatusCode != 206 || got.Header.Get("Age") == "" {
			t.Errorf("%s: %s %q, want %q", ask, got.Status, s, want)
		}
	}
	if r.asked() != before {
		t.Error("the origin was asked")
	}
	r.now.Add(int64(61 * time.Second))
	r.get("/a", "Range: bytes=4-8")
	if r.asked() != before+1 {
		t.Error("a part was used past its lifetime")
	}
	r.do("POST", "/a", nil)
	before = r.asked()
	r.get("/a", "Range: bytes=4-8")
	if r.asked() != before+1 {
		t.Error("a part outlived an unsafe request")
	}
}

func TestRFC9111Section3_3ALastPartThatIsShorterThanItSays(t *testing.T) {
	r := newRig(t, plainHTTP)
	r.answer(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Etag", `"1"`)
		w.Header().Set("Content-Range", "bytes 4-9/10")
		w.WriteHeader(206)
		_, _ = io.WriteString(w, "01234")
	})
	r.get("/a", "Range: bytes=-5")
	for ask, want := range map[string]string{"bytes=-5": "01234", "bytes=6-8": "234", "bytes=6-": "234", "bytes=-1": "4"} {
		if got := r.get("/a", "Range: "+ask); got.body != want || !strings.HasPrefix(got.cacheStatus(), "walpurge; hit") {
			t.Errorf("%s: %q %s", ask, got.body, got.cacheStatus())
		}
	}
	if e := r.proxy.memory.Peek("http://" + r.proxy.Addr().String() + "/a" + store.PartSuffix); e == nil || e.Strong() {
		t.Error("such a part could be combined with others")
	}
}

func TestRFC9111Section3_4PartsAreCombined(t *testing.T) {
	for name, c := range map[string]struct {
		tag      string
		first    string
		second   string
		combined bool
	}{
		"one after the other": {`"1"`, "0-4", "5-9", true},
		"the other way round": {`"1"`, "5-9", "0-4", true},
		"overlapping":         {`"1"`, "0-6", "3-9", true},
		"with a gap":          {`"1"`, "0-3", "5-9", false},
		"weak tags":           {`W/"1"`, "0-4", "5-9", false},
		"no tags":             {"", "0-4", "5-9", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, plainHTTP)
			fields := []string{"Cache-Control: max-age=60", "Content-Type: text/plain"}
			if c.tag != "" {
				fields = append(fields, "Etag: "+c.tag)
			}
			r.ranged("0123456789", append(fields, "X-Of: first", "X-Kept: 1")...)
			r.get("/a", "Range: bytes="+c.first)
			r.ranged("0123456789", append(fields, "X-Of: second")...)
			r.get("/a", "Range: bytes="+c.second)
			got := r.get("/a", "Cache-Control: only-if-cached")
			if (got.StatusCode == 200) != c.combined {
				t.Fatal(got.Status)
			}
			if c.combined && (got.body != "0123456789" || got.Header.Get("X-Of") != "second" || got.Header.Get("X-Kept") != "1" || got.Header.Get("Content-Range") != "" || got.Header.Get("Content-Length") != "10") {
				t.Fatal(got.body, got.Header)
			}
		})
	}
}

func TestRFC9111Section3_4AnotherVersionIsNotCombined(t *testing.T) {
	r := newRig(t, plainHTTP)
	r.ranged("aaaaaaaaaa", "Cache-Control: max-age=60", `Etag: "1"`)
	r.get("/a", "Range: bytes=0-4")
	r.ranged("bbbbbbbbbb", "Cache-Control: max-age=60", `Etag: "2"`)
	r.get("/a", "Range: bytes=5-9")
	for range 2 {
		if got := r.get("/a"); got.body != "bbbbbbbbbb" {
			t.Fatal(got.body)
		}
	}
}

func TestRFC9111Section3_4APartIsCompleted(t *testing.T) {
	for name, c := range map[string]struct{ tag, data string }{
		"the same":             {`"1"`, "0123456789"},
		"changed meanwhile":    {`"2"`, "abcdefghij"},
		"shorter than before":  {`"2"`, "ab"},
		"a tag used for two":   {`"1"`, "0123456789+"},
		"not by ranges at all": {"", "whole"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, plainHTTP)
			r.ranged("0123456789", "Cache-Control: max-age=60", `Etag: "1"`, "Content-Type: text/plain")
			r.get("/a", "Range: bytes=0-4")
			if c.tag == "" {
				r.say(c.data, "Cache-Control: max-age=60")
			} else {
				r.ranged(c.data, "Cache-Control: max-age=60", "Etag: "+c.tag, "Content-Type: text/plain")
			}
			for range 2 {
				if got := r.get("/a"); got.StatusCode != 200 || got.body != c.data || got.Header.Get("Content-Range") != "" {
					t.Fatal(got.Status, got.body, got.Header)
				}
			}
		})
	}
	r := newRig(t, plainHTTP)
	r.ranged("0123456789", "Cache-Control: max-age=60", `Etag: "1"`, "Content-Type: text/plain")
	r.get("/a", "Range: bytes=0-4")
	var asked string
	r.answer(func(w http.ResponseWriter, req *http.Request) {
		asked = req.Header.Get("Range") + " " + req.Header.Get("If-Range")
		w.Header().Set("Etag", `"1"`)
		http.ServeContent(w, req, "", time.Time{}, strings.NewReader("0123456789"))
	})
	if got := r.get("/a"); got.body != "0123456789" || asked != `bytes=5- "1"` {
		t.Fatal(got.body, asked)
	}
}

func TestRFC9110Section15_3_7SeveralRanges(t *testing.T) {
	r := newRig(t, plainHTTP)
	r.say("0123456789", "Cache-Control: max-age=60", `Etag: "1"`, "Content-Type: text/css")
	r.get("/a")
	for ask, want := range map[string]string{
		"bytes=0-1,3-4":        "0-1:01 3-4:34",
		"bytes=8-, 0-0 ,, -1":  "8-9:89 0-0:0 9-9:9",
		"bytes=0-1,30-40,5-5":  "0-1:01 5-5:5",
		"bytes=0-1,30-40":      "01 0-1/10",
		"bytes=30-40,50-":      "416 */10",
		"bytes=0-9,0-9":        "200",
		"bytes=0-1,4-2":        "200",
		"bytes=0-1,x":          "200",
		"BYTES=2-3":            "23 2-3/10",
		"bytes=" + many("0-0"): "200",
	} {
		got := r.get("/a", "Range: "+ask)
		var parts []string
		if kind, params, _ := mime.ParseMediaType(got.Header.Get("Content-Type")); kind == "multipart/byteranges" {
			for mr := multipart.NewReader(strings.NewReader(got.body), params["boundary"]); ; {
				p, err := mr.NextPart()
				if err != nil {
					break
				}
				b, _ := io.ReadAll(p)
				span, size, _ := strings.Cut(strings.TrimPrefix(p.Header.Get("Content-Range"), "bytes "), "/")
				if size != "10" || p.Header.Get("Content-Type") != "text/css" {
					t.Error(p.Header)
				}
				parts = append(parts, span+":"+string(b))
			}
			if got.Header.Get("Content-Range") != "" {
				t.Error("Content-Range beside multipart")
			}
		} else if got.StatusCode == 206 {
			parts = append(parts, got.body+" "+strings.TrimPrefix(got.Header.Get("Content-Range"), "bytes "))
		} else {
			parts = append(parts, strings.TrimSpace(fmt.Sprint(got.StatusCode, " ", strings.TrimPrefix(got.Header.Get("Content-Range"), "bytes "))))
		}
		if s := strings.Join(parts, " "); s != want {
			t.Errorf("%s: %q, want %q", ask, s, want)
		}
	}
}

func many(spec string) string {
	return strings.TrimSuffix(strings.Repeat(spec+",", rfc9111.MaxRanges+1), ",")
}

func TestRFC9110Section13_1_5ADateWithinASecondIsWeak(t *testing.T) {
	now := date(0)
	for modified, part := range map[string]bool{date(-time.Hour): true, now: false} {
		r := newRig(t, plainHTTP)
		r.say("0123456789", "Cache-Control: max-age=60", "Last-Modified: "+modified, "Date: "+now)
		r.get("/a")
		if got := r.get("/a", "Range: bytes=0-1", "If-Range: "+modified); (got.StatusCode == 206) != part {
			t.Error(modified, got.Status)
		}
	}
}

func TestRFC9111Section4_1Languages(t *testing.T) {
	for _, c := range []struct {
		Record, first, second string
		reused                bool
	}{
		{"", "en, de", "de, en", true},
		{"", "en;q=0.8, de", "de;q=1.0, EN;q=0.80", true},
		{"", "en;q=0.8, de", "de;q=0.8, en", false},
		{"", "en", "en, de", false},
		{"", "en;q=x", "en;q=x", true},
		{"de", "en, de", "fr;q=0.5, de;q=1.0", true},
		{"de", "en, de", "fr, de", false},
		{"de", "en, de", "fr, de;q=0.9", false},
		{"de", "en, de", "*", false},
		{"de", "en, de", "de-CH", false},
	} {
		t.Run(c.first+" and "+c.second, func(t *testing.T) {
			r := newRig(t, plainHTTP)
			fields := []string{"Cache-Control: max-age=60", "Vary: Accept-Language, X-Foo"}
			if c.Record != "" {
				fields = append(fields, "Content-Language: "+c.Record)
			}
			r.counted(200, fields...)
			r.get("/a", "Accept-Language: "+c.first, "X-Foo: 1")
			if got := r.get("/a", "Accept-Language: "+c.second, "X-Foo: 1"); (got.body == "1") != c.reused {
				t.Error(got.body, got.cacheStatus())
			}
			if got := r.get("/a", "Accept-Language: "+c.second, "X-Foo: 2"); got.body == "1" {
				t.Error("another variant:", got.cacheStatus())
			}
		})
	}
}

func TestRFC5861Section3WithoutALifetimeAndWithoutValidators(t *testing.T) {
	r := newRig(t, plainHTTP)
	r.say("one", "Cache-Control: max-age=0, stale-if-error=60")
	r.get("/a")
	r.counted(500)
	r.want(r.get("/a"), "one", "walpurge; hit")
	r.say("two", "Cache-Control: max-age=0, stale-while-revalidate=60")
	r.get("/b")
	r.say("three", "Cache-Control: max-age=60")
	r.want(r.get("/b"), "two", "walpurge; hit")
	r.eventually("the new one is stored", func() bool { return r.get("/b").body == "three" })
}

func TestRFC9111Section3_4AnotherRangeThanAskedForIsNotCombined(t *testing.T) {
	r := newRig(t, plainHTTP)
	r.ranged("0123456789", "Cache-Control: max-age=60", `Etag: "1"`, "Content-Type: text/plain")
	r.get("/a", "Range: bytes=0-4")
	r.answer(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Etag", `"1"`)
		if req.Header.Get("Range") == "" {
			_, _ = io.WriteString(w, "0123456789")
			return
		}
		w.Header().Set("Content-Range", "bytes 3-9/10")
		w.WriteHeader(206)
		_, _ = io.WriteString(w, "3456789")
	})
	if got := r.get("/a"); got.StatusCode != 200 || got.body != "0123456789" {
		t.Fatal(got.Status, got.body)
	}
}

func TestRFC9111Section3_3AnIncompleteResponseIsCompleted(t *testing.T) {
	for _, c := range []struct {
		name, etag, fields string
		asked              string // the next request's Range
	}{
		{"strong tag", `"v1"`, "Cache-Control: max-age=60", "bytes=4-"},
		{"weak tag", `W/"v1"`, "Cache-Control: max-age=60", ""},
		{"no tag", "", "Cache-Control: max-age=60", ""},
		{"no lifetime", `"v1"`, "Cache-Control: no-cache", ""},
		{"not to be stored", `"v1"`, "Cache-Control: no-store", ""},
		{"somebody's own", `"v1"`, "Cache-Control: private, max-age=60", ""},
		{"in groups", `"v1"`, "Cache-Control: max-age=60\nCache-Groups: \"a\"", ""},
		{"one of several", `"v1"`, "Cache-Control: max-age=60\nVary: X-Lang", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, plainHTTP)
			var ranges []string
			r.answer(func(w http.ResponseWriter, req *http.Request) {
				ranges = append(ranges, req.Header.Get("Range"))
				for _, f := range strings.Split(c.fields, "\n") {
					name, value, _ := strings.Cut(f, ": ")
					w.Header().Set(name, value)
				}
				if c.etag != "" {
					w.Header().Set("Etag", c.etag)
				}
				w.Header().Set("Content-Type", "text/plain")
				switch {
				case len(ranges) == 1:
					w.Header().Set("Content-Length", "9")
					_, _ = io.WriteString(w, "0123")
					_ = http.NewResponseController(w).Flush()
					panic(http.ErrAbortHandler)
				case req.Header.Get("Range") == "bytes=4-" && req.Header.Get("If-Range") == c.etag:
					w.Header().Set("Content-Range", "bytes 4-8/9")
					w.WriteHeader(http.StatusPartialContent)
					_, _ = io.WriteString(w, "45678")
				default:
					_, _ = io.WriteString(w, "012345678")
				}
			})
			if got, err := r.try("GET", "/a", nil); err == nil && got.StatusCode == 200 {
				t.Fatalf("the missing end doesn't show: %q", got.body)
			}
			got := r.get("/a")
			if got.body != "012345678" || got.StatusCode != 200 || len(ranges) != 2 || ranges[1] != c.asked || got.Header.Get("Content-Range") != "" {
				t.Fatalf("%s %q %v, asked for %q", got.Status, got.body, got.Header, ranges)
			}
			if c.asked != "" {
				r.want(r.get("/a"), "012345678", "walpurge; hit")
			}
		})
	}
}

// What is not all there answers only who asks for what is there.
func TestRFC9111Section3_3AnIncompleteResponseAnswersRangesInsideIt(t *testing.T) {
	r := newRig(t, plainHTTP)
	r.answer(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Etag", `"v1"`)
		w.Header().Set("Content-Length", "9")
		_, _ = io.WriteString(w, "0123")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	_, _ = r.try("GET", "/a", nil)
	got := r.get("/a", "Range: bytes=1-2")
	r.want(got, "12", "walpurge; hit")
	if got.StatusCode != 206 || got.Header.Get("Content-Range") != "bytes 1-2/9" {
		t.Fatal(got.Status, got.Header)
	}
	before := r.asked()
	if _, err := r.try("GET", "/a", nil, "Range: bytes=2-6"); err == nil || r.asked() != before+1 {
		t.Fatal("the origin was not asked for what is missing")
	}
}
