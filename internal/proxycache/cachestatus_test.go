package proxycache

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Each parameter of Cache-Status says what RFC 9211 means by it, and no more.
func TestRFC9211Section2Parameters(t *testing.T) {
	r := newRig(t, nil)
	r.answer(func(w http.ResponseWriter, req *http.Request) {
		h := w.Header()
		switch req.URL.Path {
		case "/p/vary":
			h.Set("Vary", "X-Lang")
		case "/p/before":
			h.Set("Cache-Status", "inner; hit")
		case "/p/tag":
			h.Set("Etag", `"t"`)
			if req.Header.Get("If-None-Match") == `"t"` {
				h.Set("Cache-Control", "max-age=60")
				w.WriteHeader(http.StatusNotModified)
				return
			}
		case "/p/none":
			h.Set("Cache-Control", "no-store")
			return
		case "/p/part":
			h.Set("Cache-Control", "max-age=60")
			h.Set("Content-Range", "bytes 0-3/9")
			w.WriteHeader(http.StatusPartialContent)
			_, _ = io.WriteString(w, "0123")
			return
		case "/p/404":
			h.Set("Cache-Control", "max-age=60")
			w.WriteHeader(http.StatusNotFound)
			return
		}
		h.Set("Cache-Control", "max-age=60")
		_, _ = io.WriteString(w, "body")
	})
	later := func() { r.now.Add(int64(70 * time.Second)) }
	for i, c := range []struct {
		before        func()
		method, path  string
		fields        []string
		want, outside string
	}{
		{nil, "GET", "/p/a", nil, "walpurge; fwd=uri-miss; fwd-status=200; stored", ""},
		{nil, "GET", "/p/a", nil, "walpurge; hit; ttl=59", "fwd"},
		{nil, "HEAD", "/p/a", nil, "walpurge; hit; ttl=59", "fwd"},
		{nil, "GET", "/p/a", []string{"Cache-Control: no-cache"}, "walpurge; fwd=request; fwd-status=200; stored", ""},
		{nil, "HEAD", "/p/a", []string{"Cache-Control: no-cache"}, "walpurge; fwd=request; fwd-status=200; stored", ""},
		{nil, "GET", "/p/a", []string{"Cache-Control: no-store"}, "walpurge; fwd=request; fwd-status=200; detail=client", "stored"},
		{later, "HEAD", "/p/a", nil, "walpurge; fwd=stale; fwd-status=200; stored", ""},
		{later, "GET", "/p/a", nil, "walpurge; fwd=stale; fwd-status=200; stored", ""},
		{later, "GET", "/p/a", []string{"Cache-Control: max-stale=60"}, "walpurge; hit; ttl=-10", "fwd"},
		{nil, "POST", "/p/a", nil, "walpurge; fwd=method; fwd-status=200", "stored"},
		{nil, "HEAD", "/p/head", nil, "walpurge; fwd=uri-miss; fwd-status=200", "stored"},
		{nil, "GET", "/p/vary", []string{"X-Lang: en"}, "walpurge; fwd=uri-miss; fwd-status=200; stored", ""},
		{nil, "GET", "/p/vary", []string{"X-Lang: fr"}, "walpurge; fwd=vary-miss; fwd-status=200; stored", ""},
		{nil, "HEAD", "/p/vary", []string{"X-Lang: de"}, "walpurge; fwd=vary-miss; fwd-status=200", "stored"},
		{nil, "GET", "/p/vary", []string{"X-Lang: es", "Range: bytes=0-1"}, "walpurge; fwd=vary-miss; fwd-status=200; detail=range", ""},
		{nil, "GET", "/p/tag", nil, "walpurge; fwd=uri-miss; fwd-status=200; stored", ""},
		{later, "GET", "/p/tag", nil, "walpurge; fwd=stale; fwd-status=304; stored", ""},
		{nil, "GET", "/p/none", nil, "walpurge; fwd=uri-miss; fwd-status=200; detail=no-store", "stored"},
		{nil, "GET", "/p/none", nil, "walpurge; fwd=uri-miss; fwd-status=200; detail=uncacheable", "stored"},
		{nil, "GET", "/p/404", nil, "walpurge; fwd=uri-miss; fwd-status=404; stored", ""},
		{nil, "GET", "/p/part", []string{"Range: bytes=0-3"}, "walpurge; fwd=uri-miss; fwd-status=206; detail=range", ""},
		{nil, "GET", "/p/part", []string{"Range: bytes=1-2"}, "walpurge; hit; ttl=59", "fwd"},
		{nil, "GET", "/p/part", []string{"Range: bytes=2-6"}, "walpurge; fwd=partial; fwd-status=206; detail=range", ""},
		{nil, "GET", "/p/oic", []string{"Cache-Control: only-if-cached"}, "walpurge; detail=only-if-cached", "fwd"},
		{nil, "GET", "/p/before", nil, "inner; hit, walpurge; fwd=uri-miss; fwd-status=200; stored", ""},
		{nil, "GET", "/api/listings/1", nil, "walpurge; fwd=uri-miss; fwd-status=200; stored", ""},
		{func() { r.now.Add(int64(2 * time.Hour)) }, "GET", "/api/listings/1", nil, "walpurge; fwd=bypass; fwd-status=200; detail=unproven", "hit"},
	} {
		if c.before != nil {
			c.before()
		}
		got := r.do(c.method, c.path, nil, c.fields...)
		said := strings.Join(got.Header.Values("Cache-Status"), ", ")
		if said != c.want || c.outside != "" && strings.Contains(said, c.outside) {
			t.Errorf("%d: %s %s %q: %q, want %q", i, c.method, c.path, c.fields, said, c.want)
		}
	}
	// What was never forwarded has no fwd (section 2.2).
	for request, want := range map[string]string{
		"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n":                         "walpurge; detail=refused",
		"CONNECT a:1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n": "walpurge; detail=connect",
	} {
		if got := r.raw(request); !strings.Contains(got, "\r\nCache-Status: "+want+"\r\n") {
			t.Errorf("%q: %q", request, got)
		}
	}
}

func TestRFC9211Section2_6Collapsed(t *testing.T) {
	r := newRig(t, plainHTTP)
	g := newGate()
	r.answer(func(w http.ResponseWriter, _ *http.Request) {
		g.pass()
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = fmt.Fprint(w, "one")
	})
	got := make(chan string, 2)
	for range 2 {
		go func() {
			rep, err := r.try("GET", "/a", nil)
			if err != nil {
				t.Error(err)
			}
			got <- rep.cacheStatus()
		}()
	}
	r.eventually("the second has joined", func() bool { _, joined := r.proxy.fills.Flights.Count(); return joined == 1 })
	close(g.open)
	all := []string{<-got, <-got}
	const alone, joined = "walpurge; fwd=uri-miss; fwd-status=200; stored", "walpurge; fwd=uri-miss; fwd-status=200; stored; collapsed"
	if !(all[0] == alone && all[1] == joined || all[1] == alone && all[0] == joined) {
		t.Fatalf("%q", all)
	}
}
