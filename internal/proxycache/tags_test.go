package proxycache

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"walpurge/internal/proxycache/fill"
)

// languages makes the origin answer in the language asked for, of those that
// it has, with one tag for each. It returns the conditions that it was asked
// with.
func (r *rig) speaks(lifetime string, has ...string) *[]string {
	asked := new([]string)
	r.answer(func(w http.ResponseWriter, req *http.Request) {
		lang := has[0]
		for _, l := range has {
			if req.Header.Get("X-Lang") == l {
				lang = l
			}
		}
		inm := req.Header.Get("If-None-Match")
		*asked = append(*asked, inm)
		w.Header().Set("Vary", "X-Lang")
		w.Header().Set("Etag", `"`+lang+`"`)
		w.Header().Set("Cache-Control", lifetime)
		w.Header().Set("X-Answer", fmt.Sprint(len(*asked)))
		if strings.Contains(inm, `"`+lang+`"`) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = io.WriteString(w, lang)
	})
	return asked
}

func TestRFC9111Section4_3_1AllStoredTagsAreNamed(t *testing.T) {
	r := newRig(t, plainHTTP)
	asked := r.speaks("max-age=60", "en", "fr")
	r.get("/a", "X-Lang: en")
	r.get("/a", "X-Lang: fr")
	if (*asked)[1] != `"en"` {
		t.Fatalf("the second request named %q", (*asked)[1])
	}
	// A third language gets the first one, by a 304 without a body.
	got := r.get("/a", "X-Lang: de")
	r.want(got, "en", "walpurge; fwd=vary-miss; fwd-status=304; stored")
	if (*asked)[2] != `"fr", "en"` || got.StatusCode != 200 || got.Header.Get("Etag") != `"en"` {
		t.Fatalf("asked with %q, got %s %v", (*asked)[2], got.Status, got.Header)
	}
	r.want(r.get("/a", "X-Lang: de"), "en", "walpurge; hit")
	r.want(r.get("/a", "X-Lang: fr"), "fr", "walpurge; hit")
}

func TestRFC9111Section4_3_4A304UpdatesTheVariantThatItIsAbout(t *testing.T) {
	r := newRig(t, plainHTTP)
	r.speaks("max-age=60", "en", "fr")
	r.get("/a", "X-Lang: en")
	r.now.Add(int64(50 * time.Second))
	r.get("/a", "X-Lang: de")
	r.now.Add(int64(50 * time.Second)) // past the first one's lifetime, not the 304's
	got := r.get("/a", "X-Lang: en")
	r.want(got, "en", "walpurge; hit")
	if got.Header.Get("X-Answer") != "2" {
		t.Fatalf("the fields are those of answer %s", got.Header.Get("X-Answer"))
	}
}

func TestRFC9111Section4_3_4A304ThatNamesNoneOfTheTags(t *testing.T) {
	for name, etag := range map[string]string{"another": `"other"`, "none of two": ""} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, plainHTTP)
			r.speaks("max-age=60", "en", "fr")
			r.get("/a", "X-Lang: en")
			r.get("/a", "X-Lang: fr")
			r.answer(func(w http.ResponseWriter, req *http.Request) {
				if etag != "" {
					w.Header().Set("Etag", etag)
				}
				if req.Header.Get("If-None-Match") != "" {
					w.WriteHeader(http.StatusNotModified)
					return
				}
				_, _ = io.WriteString(w, "whole")
			})
			r.want(r.get("/a", "X-Lang: de"), "whole", "walpurge; fwd=vary-miss; fwd-status=200")
		})
	}
}

func TestRFC9111Section4_3_1TagsOfChangedRowsAreNotNamed(t *testing.T) {
	r := newRig(t, nil)
	asked := r.speaks("max-age=60", "en", "fr")
	r.get("/api/listings/1", "X-Lang: en")
	r.get("/api/listings/1", "X-Lang: fr")
	r.want(r.get("/api/listings/1", "X-Lang: de"), "en", "walpurge; fwd=vary-miss; fwd-status=304; stored")
	r.commit(&row{"1", "x", "1"}, &row{"1", "y", "1"})
	r.get("/api/listings/1", "X-Lang: es")
	if last := (*asked)[len(*asked)-1]; last != "" {
		t.Fatalf("after the change the request named %q", last)
	}
	// What came of a 304 depends on the rows as well.
	if n := len(*asked); n != 4 {
		t.Fatalf("%d requests", n)
	}
	r.want(r.get("/api/listings/1", "X-Lang: de"), "en", "walpurge; fwd")
}

// What is shown for a moment after a change must not be confirmed as new.
func TestRFC9111Section4_3_1TagsOfWhatIsShownAfterAChangeAreNotNamed(t *testing.T) {
	r := newRig(t, func(_ *rig, o *Options) { o.Routes[0].StaleOnChange = time.Minute })
	asked := r.speaks("max-age=60", "en", "fr")
	r.get("/api/listings/1", "X-Lang: en")
	r.commit(&row{"1", "x", "1"}, &row{"1", "y", "1"})
	r.get("/api/listings/1", "X-Lang: es")
	if last := (*asked)[len(*asked)-1]; len(*asked) != 2 || last != "" {
		t.Fatalf("%d requests, the last named %q", len(*asked), last)
	}
}

func TestRFC9111Section4_3_1NamedTagsAreBounded(t *testing.T) {
	r := newRig(t, plainHTTP)
	var longest int
	r.answer(func(w http.ResponseWriter, req *http.Request) {
		longest = max(longest, len(req.Header.Get("If-None-Match")))
		w.Header().Set("Vary", "X-Lang")
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Etag", `"`+req.Header.Get("X-Lang")+strings.Repeat("x", 300)+`"`)
	})
	for i := range 30 {
		r.get("/a", fmt.Sprint("X-Lang: ", i))
	}
	if longest == 0 || longest > fill.MaxTagBytes {
		t.Fatalf("%d bytes", longest)
	}
}

func TestRFC9111Section4_3_1CredentialsGetNobodyElsesVariant(t *testing.T) {
	r := newRig(t, plainHTTP)
	asked := r.speaks("max-age=60", "en", "fr")
	r.get("/a", "X-Lang: en")
	r.get("/a", "X-Lang: de", "Authorization: Basic eA==")
	if (*asked)[1] != "" {
		t.Fatalf("named %q", (*asked)[1])
	}
}

// A tag that two forms of a page share, or two users' pages, must not make one
// of them the other.
func TestRFC9111Section4_3_1TagsThatMayBeSharedAreNotNamed(t *testing.T) {
	for _, c := range []struct {
		name, vary, etag, coding string
		first, second            string
		named                    bool
	}{
		{"strong", "X-Lang", `"v5"`, "", "X-Lang: en", "X-Lang: de", true},
		{"weak", "X-Lang", `W/"v5"`, "", "X-Lang: en", "X-Lang: de", false},
		{"by cookie", "Cookie", `"v5"`, "", "Cookie: user=her", "Cookie: user=him", false},
		{"by cookie among others", "X-Lang, cookie", `"v5"`, "", "Cookie: user=her", "Cookie: user=him", false},
		{"by credentials", "Authorization", `"v5"`, "", "X-Any: 1", "Authorization: Basic eA==", false},
		{"a coding not taken", "Accept-Encoding", `"v5"`, "gzip", "Accept-Encoding: gzip", "Accept-Encoding: identity", false},
		{"another coding", "Accept-Encoding", `"v5"`, "gzip", "Accept-Encoding: gzip", "Accept-Encoding: br", false},
		{"a coding among others", "Accept-Encoding", `"v5"`, "gzip", "Accept-Encoding: gzip", "Accept-Encoding: gzip, br", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, plainHTTP)
			var named []string
			r.answer(func(w http.ResponseWriter, req *http.Request) {
				named = append(named, req.Header.Get("If-None-Match"))
				w.Header().Set("Vary", c.vary)
				w.Header().Set("Etag", c.etag)
				w.Header().Set("Cache-Control", "max-age=60, public")
				if c.coding != "" && strings.Contains(req.Header.Get("Accept-Encoding"), c.coding) {
					w.Header().Set("Content-Encoding", c.coding)
				}
				_, _ = io.WriteString(w, "body")
			})
			r.get("/a", c.first)
			r.get("/a", c.second)
			if len(named) != 2 || (named[1] == c.etag) != c.named || !c.named && named[1] != "" {
				t.Fatalf("named %q", named)
			}
		})
	}
}
