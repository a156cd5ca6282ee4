package proxycache

import (
	"bytes"
	gz "compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	br "github.com/andybalholm/brotli"
	zs "github.com/klauspost/compress/zstd"

	"walpurge/internal/proxycache/store"
	"walpurge/internal/rfc9111"
)

// prose is text that codings shrink.
var prose = strings.Repeat("A house with two bedrooms and a garden, near the lagoon. ", 100)

// decoded is a reply's body without its content coding.
func decoded(t *testing.T, got reply) string {
	t.Helper()
	var r io.Reader = strings.NewReader(got.body)
	var err error
	switch got.Header.Get("Content-Encoding") {
	case "gzip":
		r, err = gz.NewReader(r)
	case "br":
		r = br.NewReader(r)
	case "zstd":
		r, err = zs.NewReader(r)
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRFC9110Section12_5_3CodingsAreNegotiated(t *testing.T) {
	r := newRig(t, plainHTTP)
	r.say(prose, "Cache-Control: max-age=60", "Content-Type: text/html; charset=utf-8", `Etag: "1"`)
	if got := r.get("/a", "Accept-Encoding: gzip"); got.Header.Get("Vary") != "Accept-Encoding" || decoded(t, got) != prose {
		t.Fatal("the first client got", got.Header)
	}
	for accept, want := range map[string]string{
		"":                           "",
		"identity":                   "",
		"gzip":                       "gzip",
		"x-gzip":                     "gzip",
		"GZIP, deflate, br":          "br",
		"gzip, deflate, br, zstd":    "br",
		"gzip, zstd":                 "zstd",
		"gzip;q=0.9, br;q=0.5":       "gzip",
		"br;q=0, gzip":               "gzip",
		"*":                          "br",
		"*;q=0.5, br;q=0":            "zstd",
		"gzip;q=0":                   "",
		"deflate":                    "",
		"identity;q=1, gzip;q=0.5":   "",
		"gzip;q=broken, zstd;q=0.10": "zstd",
	} {
		var fields []string
		if accept != "" {
			fields = []string{"Accept-Encoding: " + accept}
		}
		for _, method := range []string{"GET", "HEAD"} {
			got := r.do(method, "/a", nil, fields...)
			tag := `"1"`
			if want != "" {
				tag = `"1~` + want + `"`
			}
			if got.Header.Get("Content-Encoding") != want || got.Header.Get("Etag") != tag || got.Header.Get("Vary") != "Accept-Encoding" {
				t.Fatalf("%s: %v", accept, got.Header)
			}
			if n, _ := strconv.Atoi(got.Header.Get("Content-Length")); want != "" && n > len(prose)/2 || method == "GET" && n != len(got.body) {
				t.Fatal(accept, got.Header)
			}
			if method == "GET" && decoded(t, got) != prose {
				t.Fatal(accept, "another body")
			}
		}
	}
	if r.asked() != 1 {
		t.Error(r.asked(), "requests to the origin")
	}
}

func TestRFC9110Section8_8_3_3TagsOfCodedForms(t *testing.T) {
	for tag, coded := range map[string]string{`"1"`: `"1~gzip"`, `W/"1"`: `W/"1"`} {
		r := newRig(t, plainHTTP)
		r.say(prose, "Cache-Control: max-age=60", "Content-Type: text/plain", "Etag: "+tag)
		r.get("/a")
		if got := r.get("/a", "Accept-Encoding: gzip"); got.Header.Get("Etag") != coded {
			t.Fatal(got.Header)
		}
		for _, has := range []string{tag, coded, "W/" + strings.TrimPrefix(coded, "W/"), `"x", ` + coded} {
			for _, accept := range []string{"gzip", "identity"} {
				got := r.get("/a", "Accept-Encoding: "+accept, "If-None-Match: "+has)
				if got.StatusCode != 304 || !strings.Contains(has, strings.TrimPrefix(got.Header.Get("Etag"), "W/")) || got.Header.Get("Vary") != "Accept-Encoding" {
					t.Errorf("%s has %s: %s %v", accept, has, got.Status, got.Header)
				}
			}
		}
		if got := r.get("/a", "Accept-Encoding: gzip", `If-None-Match: "1~lz4"`); got.StatusCode != 200 {
			t.Error(got.Status)
		}
		// Ranges are those of the plain form.
		if got := r.get("/a", "Accept-Encoding: gzip", "Range: bytes=2-6"); got.StatusCode != 206 || got.body != prose[2:7] || got.Header.Get("Etag") != tag || got.Header.Get("Content-Encoding") != "" {
			t.Error(got.Status, got.body, got.Header)
		}
		if got := r.get("/a", "Accept-Encoding: gzip", "Range: bytes=2-6", "If-Range: "+coded); got.StatusCode != 200 || decoded(t, got) != prose {
			t.Error(got.Status)
		}
		// The origin knows nothing of our forms.
		var seen string
		r.answer(func(_ http.ResponseWriter, req *http.Request) { seen = req.Header.Get("If-Match") })
		r.do("PUT", "/a", strings.NewReader("x"), "If-Match: "+coded)
		if seen != tag {
			t.Errorf("the origin got %s, want %s", seen, tag)
		}
	}
}

func TestRFC9110Section12_5_3WhatIsNotCompressed(t *testing.T) {
	for name, c := range map[string]struct {
		body   string
		fields []string
	}{
		"small":         {prose[:store.MinCoded-1], []string{"Content-Type: text/plain"}},
		"an image":      {prose, []string{"Content-Type: image/png"}},
		"no type":       {prose, []string{"Content-Type: "}},
		"no-transform":  {prose, []string{"Content-Type: text/plain", "Cache-Control: no-transform"}},
		"coded already": {prose, []string{"Content-Type: text/plain", "Content-Encoding: zip"}},
		"with a digest": {prose, []string{"Content-Type: text/plain", "Content-Digest: sha-256=:x:"}},
		"random":        {noise(8 << 10), []string{"Content-Type: text/plain"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, plainHTTP)
			r.say(c.body, append(c.fields, "Cache-Control: max-age=60", `Etag: "1"`)...)
			r.get("/a")
			for range 2 {
				got := r.get("/a", "Accept-Encoding: gzip, br")
				if got.body != c.body || got.Header.Get("Etag") != `"1"` || name != "random" && got.Header.Get("Vary") != "" {
					t.Fatal(got.Header)
				}
				r.want(got, c.body, "walpurge; hit")
			}
		})
	}
	r := newRig(t, plainHTTP)
	r.say(prose, "Content-Type: text/plain", "Cache-Control: max-age=60")
	r.get("/a")
	if got := r.get("/a", "Accept-Encoding: gzip", "Cache-Control: no-transform"); got.body != prose {
		t.Error("the client wanted no transformation")
	}
	off := newRig(t, func(r *rig, o *Options) { plainHTTP(r, o); o.NoCompress = true })
	off.say(prose, "Content-Type: text/plain", "Cache-Control: max-age=60")
	off.get("/a")
	if got := off.get("/a", "Accept-Encoding: gzip"); got.body != prose || got.Header.Get("Vary") != "" {
		t.Error("compress is off:", got.Header)
	}
}

func noise(n int) string {
	source := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(source.Uint32())
	}
	return string(b)
}

func TestACodingIsMadeOnceAndCounted(t *testing.T) {
	r := newRig(t, plainHTTP)
	r.say(prose, "Content-Type: text/plain", "Cache-Control: max-age=60")
	r.get("/a")
	before := r.proxy.memory.Bytes()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			rep, err := r.try("GET", "/a", nil, "Accept-Encoding: zstd")
			if err != nil || decoded(t, rep) != prose {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	e := r.proxy.memory.Peek("http://" + r.proxy.Addr().String() + "/a")
	f := e.Made(rfc9111.InZstd)
	if f == nil || e.Made(rfc9111.InGzip) != nil || e.Made(rfc9111.InBrotli) != nil {
		t.Fatal("made what nobody wanted, or not what all wanted")
	}
	for range 3 {
		r.get("/a", "Accept-Encoding: zstd")
	}
	if e.Made(rfc9111.InZstd) != f {
		t.Error("made again")
	}
	if after := r.proxy.memory.Bytes(); after != before || int(e.Weight()) < len(e.Body)+len(f.Body)+2*len(e.Head()) {
		t.Errorf("the entry weighs %d before and %d after, with bodies of %d and %d", before, after, len(e.Body), len(f.Body))
	}
}

func TestCodedFormsKeepToTheirRoom(t *testing.T) {
	r := newRig(t, plainHTTP)
	body := noise(6<<10) + strings.Repeat("x", 6<<10) // shrinks to about a half
	r.say(body, "Content-Type: text/plain", "Cache-Control: max-age=60")
	r.get("/a")
	for _, accept := range []string{"gzip", "br", "zstd"} {
		if got := r.get("/a", "Accept-Encoding: "+accept); decoded(t, got) != body {
			t.Fatal(accept)
		}
	}
	e := r.proxy.memory.Peek("http://" + r.proxy.Addr().String() + "/a")
	used := 0
	for c := rfc9111.Identity + 1; c < rfc9111.CodingCount; c++ {
		if f := e.Made(c); f != nil {
			used += len(f.Body)
		}
	}
	if int64(used) > e.CodedRoom() {
		t.Errorf("coded forms take %d bytes of %d", used, e.CodedRoom())
	}
}

func TestRFC9110Section8_8_3_3ValidationKeepsThePlainTag(t *testing.T) {
	r := newRig(t, plainHTTP)
	r.say(prose, "Content-Type: text/plain", "Cache-Control: max-age=1", `Etag: "1"`)
	r.get("/a")
	r.get("/a", "Accept-Encoding: br")
	r.now.Add(int64(2 * time.Second))
	var asked string
	r.answer(func(w http.ResponseWriter, req *http.Request) {
		asked = req.Header.Get("If-None-Match")
		w.Header().Set("Etag", `"1"`)
		w.Header().Set("Cache-Control", "max-age=60")
		w.WriteHeader(304)
	})
	for range 2 {
		if got := r.get("/a", "Accept-Encoding: br"); decoded(t, got) != prose || got.Header.Get("Etag") != `"1~br"` || got.Header.Get("Vary") != "Accept-Encoding" {
			t.Fatal(got.Header)
		}
	}
	if asked != `"1"` {
		t.Error("asked with", asked)
	}
}

func TestClientsAskEachTimeOnRoutesWithDependencies(t *testing.T) {
	for _, keeps := range []bool{false, true} {
		for _, tag := range []string{"", `"o"`} {
			t.Run(fmt.Sprint(keeps, tag), func(t *testing.T) {
				r := newRig(t, func(_ *rig, o *Options) { o.Routes[0].ClientKeeps = keeps })
				fields := []string{"Cache-Control: max-age=600", "Expires: " + date(time.Hour), "Pragma: x"}
				if tag != "" {
					fields = append(fields, "Etag: "+tag)
				}
				r.say("body", fields...)
				for i := range 3 {
					got := r.get("/api/listings/1")
					wantCC, wantExpires := "no-cache", ""
					if keeps {
						wantCC, wantExpires = "max-age=600", got.Header.Get("Expires")
					}
					if cc := got.Header.Get("Cache-Control"); cc != wantCC || got.Header.Get("Expires") != wantExpires || (got.Header.Get("Expires") == "") == keeps {
						t.Fatal(got.Header)
					}
					etag := got.Header.Get("Etag")
					if tag != "" && etag != tag || i > 0 && tag == "" && (strings.HasPrefix(etag, `"`) == keeps) {
						t.Fatal("Etag", etag)
					}
					if i > 0 && etag != "" {
						if again := r.get("/api/listings/1", "If-None-Match: "+etag); again.StatusCode != 304 || again.Header.Get("Cache-Control") != wantCC || again.Header.Get("Etag") != etag {
							t.Fatal(again.Status, again.Header)
						}
					}
				}
				if r.asked() != 1 {
					t.Error(r.asked(), "requests to the origin")
				}
				// What the origin says decides how long it is kept here.
				if left := r.get("/api/listings/1").cacheStatus(); !strings.HasPrefix(left, "walpurge; hit; ttl=59") {
					t.Error(left)
				}
			})
		}
	}
}

func TestHitOfACodedFormAllocatesNothing(t *testing.T) {
	const accepts = "\r\nAccept-Encoding: gzip;q=0.8, deflate, br"
	for _, more := range []string{accepts, accepts + "\r\nIf-None-Match: \"1~gzip\""} {
		request := strings.Replace(plainRequest, "\r\n\r\n", more+"\r\n\r\n", 1)
		result := testing.Benchmark(func(b *testing.B) { benchHit(b, request) })
		if n := result.AllocsPerOp(); n > 0 && !raceEnabled {
			t.Errorf("%d allocations for a hit%q", n, more)
		}
	}
}

func TestCodingsSurviveTheWayBack(t *testing.T) {
	for c := range rfc9111.CodingCount {
		for _, body := range []string{prose, noise(100), ""} {
			coded := store.Encode(c, []byte(body))
			header := http.Header{"Content-Encoding": {rfc9111.CodingNames[c]}}
			if got := decoded(t, reply{&http.Response{Header: header}, string(bytes.Clone(coded))}); got != body {
				t.Errorf("%s: %d bytes of %d", rfc9111.CodingNames[c], len(got), len(body))
			}
		}
	}
}
