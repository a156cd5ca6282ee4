package proxycache

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"walpurge/internal/expr"
	"walpurge/internal/proxycache/fill"
	"walpurge/internal/proxycache/route"
)

// raw asks the proxy once on a connection of its own and returns every byte
// that comes back.
func (r *rig) raw(request string) string {
	r.t.Helper()
	c := r.dial()
	c.send(request)
	b, err := io.ReadAll(c.r)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(b)
}

// What an origin writes beside the grammar must not reach clients, who may
// read it as something else: RFC 9112 sections 2.2 and 5.1, RFC 9110 section
// 5.5.
func TestRFC9112Section5_1FieldsOfHostileOrigins(t *testing.T) {
	const end = "Content-Length: 4\r\n\r\nfour"
	cases := map[string]struct {
		field   string
		want    string // a line that clients get
		refused bool
	}{
		"/cr":                  {"X-A: a\rSet-Cookie: b=c\r\n", "", true},
		"/nul":                 {"X-A: a\x00b\r\n", "", true},
		"/space":               {"X-A : b\r\n", "X-A: b", false},
		"/tab":                 {"X-A\t: b\r\n", "", true},
		"/inner-space":         {"X A: b\r\n", "", true},
		"/hidden-coding":       {"Transfer-Encoding : chunked\r\n", "", true},
		"/hidden-coding-tab":   {"Transfer-Encoding\t: chunked\r\n", "", true},
		"/hidden-length":       {"Content-Length : 400\r\n", "", true},
		"/hidden-connection":   {"Connection : X-A\r\nX-A: b\r\n", "", true},
		"/folded":              {"X-A: a\r\n b\r\n", "X-A: a b", false},
		"/no-colon":            {"X-A\r\n", "", true},
		"/lf":                  {"X-A: a\nX-B: b\r\n", "X-B: b", false},
		"/cr-before-name":      {"\rX-A: b\r\n", "", true},
		"/both-lengths":        {"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n", "", true},
		"/coding-list":         {"Transfer-Encoding: gzip, chunked\r\n", "", true},
		"/coding-twice":        {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "", true},
		"/coding-after-chunks": {"Transfer-Encoding: chunked, identity\r\n", "", true},
		"/length-list":         {"Content-Length: 4, 5\r\n", "", true},
		"/length-sign":         {"Content-Length: +4\r\n", "", true},
	}
	answers := map[string]string{}
	for path, c := range cases {
		// It closes after each answer, and says so: a POST is never sent twice.
		answers[path] = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nConnection: close\r\n" + c.field + end
	}
	origin := scripted(t, answers)
	r := newRig(t, func(r *rig, o *Options) { plainHTTP(r, o); o.Origin.URL = origin })
	for path, c := range cases {
		t.Run(path[1:], func(t *testing.T) {
			r.t = t
			for _, method := range []string{"GET", "GET", "POST"} { // a fill, a hit, a passed request
				got := r.raw(method + " " + path + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
				if c.refused {
					if !strings.HasPrefix(got, "HTTP/1.1 502 ") {
						t.Errorf("%s: %q", method, got)
					}
					continue
				}
				if !strings.HasPrefix(got, "HTTP/1.1 200 ") || !strings.Contains(got, "\r\n"+c.want+"\r\n") || !strings.HasSuffix(got, "\r\n\r\nfour") {
					t.Errorf("%s: %q, want %q", method, got, c.want)
				}
				if head, _, _ := strings.Cut(got, "\r\n\r\n"); strings.ContainsAny(strings.ReplaceAll(head, "\r\n", ""), "\r\n\x00") {
					t.Errorf("%s: control characters in %q", method, head)
				}
			}
		})
	}
}

// Nobody may switch to a protocol that the client didn't name (RFC 9110
// section 7.8): its next request would be the new protocol's first bytes.
func TestRFC9110Section15_2_2UnaskedSwitchIs502(t *testing.T) {
	const switches = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
	const bare = "HTTP/1.1 101 Switching Protocols\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
	origin := scripted(t, map[string]string{"/a": switches, "/bare": bare})
	r := newRig(t, func(r *rig, o *Options) { plainHTTP(r, o); o.Origin.URL = origin })
	for _, path := range []string{"/a", "/bare"} {
		for _, method := range []string{"GET", "HEAD", "POST"} {
			got := r.raw(method + " " + path + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
			if !strings.HasPrefix(got, "HTTP/1.1 502 ") || strings.Contains(got, "evil") {
				t.Errorf("%s %s: %q", method, path, got)
			}
		}
	}
	got := r.raw("GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: y\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 502 ") || strings.Contains(got, "evil") {
		t.Errorf("another protocol than asked for: %q", got)
	}
}

// A connection that became HTTP again behind the proxy would be a way around
// it (RFC 9113 section 3.1 has made h2c obsolete).
func TestRFC9110Section7_8NoUpgradeToHTTP(t *testing.T) {
	r := newRig(t, plainHTTP)
	r.answer(func(w http.ResponseWriter, req *http.Request) {
		_, _ = fmt.Fprintf(w, "%q %q %q", req.Header.Get("Upgrade"), req.Header.Get("Connection"), req.Header.Get("Http2-Settings"))
	})
	for sent, want := range map[string]string{
		"h2c":            `"" "" ""`,
		"H2C":            `"" "" ""`,
		"h2c, HTTP/2.0":  `"" "" ""`,
		"TLS/1.0":        `"" "" ""`,
		"TLS/1.3, h2c":   `"" "" ""`,
		"h2c, websocket": `"websocket" "Upgrade" ""`,
		"websocket":      `"websocket" "Upgrade" ""`,
	} {
		c := r.dial()
		c.send("GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\nUpgrade: " + sent + "\r\n\r\n")
		if got := c.read("GET"); got.body != want {
			t.Errorf("%s: %s", sent, got.body)
		}
	}
}

// Fields that frame or route a message have no meaning behind its body (RFC
// 9110 section 6.5.1).
func TestRFC9110Section6_5_1TrailersOfHostileOrigins(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n"
	origin := scripted(t, map[string]string{
		"/unannounced": head + "\r\n4\r\nfour\r\n0\r\nTransfer-Encoding: chunked\r\nContent-Length: 99\r\nHost: b\r\nConnection: x\r\nX-Sum: 1\r\n\r\n",
		"/announced":   head + "Trailer: X-Sum, Cache-Control\r\n\r\n4\r\nfour\r\n0\r\nX-Sum: 1\r\nCache-Control: max-age=9\r\n\r\n",
		"/control":     head + "Trailer: X-Sum\r\n\r\n4\r\nfour\r\n0\r\nX-Sum: a\rSet-Cookie: x\r\n\r\n",
	})
	r := newRig(t, func(r *rig, o *Options) { plainHTTP(r, o); o.Origin.URL = origin })
	for path, want := range map[string]string{"/unannounced": "X-Sum: 1\r\n", "/announced": "X-Sum: 1\r\n", "/control": ""} {
		got := r.raw("GET " + path + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		_, trailer, _ := strings.Cut(got, "\r\n0\r\n")
		if path == "/control" { // the response breaks off: the end must not show
			want, trailer = "", strings.TrimPrefix(trailer, want)
		} else if trailer == want+"\r\n" {
			trailer = want
		}
		if trailer != want {
			t.Errorf("%s: trailer %q, want %q", path, trailer, want)
		}
		if path == "/announced" && !strings.Contains(got, "\r\nTrailer: X-Sum\r\n") {
			t.Errorf("%q", got)
		}
	}
}

// What a chunk says beside its size costs the reader and tells it nothing: RFC
// 9112 section 7.1.1 wants a bound.
func TestRFC9112Section7_1_1ChunkExtensionsAreBounded(t *testing.T) {
	r := newRig(t, plainHTTP)
	r.answer(func(w http.ResponseWriter, req *http.Request) {
		n, err := io.Copy(io.Discard, req.Body)
		if err == nil {
			_, _ = fmt.Fprint(w, n)
		}
	})
	post := func(chunks int, extension string) string {
		c := r.dial()
		c.send("POST /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
		for range chunks {
			if _, err := io.WriteString(c.Conn, "1;"+extension+"\r\nx\r\n"); err != nil {
				break // refused meanwhile
			}
		}
		_, _ = io.WriteString(c.Conn, "0\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(c.r), nil)
		if err != nil {
			return ""
		}
		b, _ := io.ReadAll(resp.Body)
		return string(b)
	}
	if got := post(10, "a=\"b;c\""); got != "10" {
		t.Errorf("a few extensions: %q", got)
	}
	if got := post(100, strings.Repeat("y", 900)); got == "100" {
		t.Error("90 KB of extensions around 100 bytes were read to the end")
	}
}

// A field that Connection names ends at this proxy. What it told apart in the
// key, the origin hasn't seen: nobody else may get the response.
func TestRFC9110Section7_6_1NamedFieldsPoisonNothing(t *testing.T) {
	r := newRig(t, func(_ *rig, o *Options) { o.Routes[2].Vary = []route.Key{{Source: expr.Header, Name: "x-lang"}} })
	r.answer(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Vary", "X-Lang")
		if req.Method == "POST" {
			w.Header().Set("Content-Location", req.URL.Path)
		}
		_, _ = fmt.Fprintf(w, "in %q", req.Header.Get("X-Lang"))
	})
	for _, c := range []struct{ path, request string }{
		{"/a", "GET /a HTTP/1.1\r\n"},
		{"/plain/a", "GET /plain/a HTTP/1.1\r\n"},
		{"/b", "POST /b HTTP/1.1\r\nContent-Length: 0\r\n"},
		{"/c", "GET /c HTTP/1.1\r\nRange: bytes=0-1\r\n"},
	} {
		r.raw(c.request + "Host: " + strings.TrimPrefix(r.url, "http://") + "\r\nX-Lang: fr\r\nConnection: close, x-lAng\r\n\r\n")
		if got := r.get(c.path, "X-Lang: fr"); got.body != `in "fr"` {
			t.Errorf("%s: %s, %s", c.path, got.body, got.cacheStatus())
		}
	}
	r.get("/d", "X-Lang: fr")
	r.want(r.get("/d", "X-Lang: fr", "Connection: keep-alive, X-Unsent"), `in "fr"`, "walpurge; hit")
}

func TestRFC9110Section7_6_2MaxForwards(t *testing.T) {
	r := newRig(t, plainHTTP)
	r.answer(func(w http.ResponseWriter, req *http.Request) {
		_, _ = fmt.Fprint(w, req.Header.Get("Max-Forwards"))
	})
	for _, c := range []struct {
		method, sent string
		asked        int
		body         string
	}{
		{"OPTIONS", "0", 0, ""},
		{"OPTIONS", "1", 1, "0"},
		{"TRACE", "5", 1, "4"},
		{"OPTIONS", "x", 1, "x"},
		{"GET", "0", 1, "0"},
	} {
		before := r.asked()
		got := r.do(c.method, "/"+c.method+c.sent, nil, "Max-Forwards: "+c.sent)
		if got.StatusCode != 200 || got.body != c.body || r.asked()-before != c.asked || !strings.HasPrefix(got.cacheStatus(), "walpurge") {
			t.Errorf("%s %s: %s %q, the origin was asked %d times", c.method, c.sent, got.Status, got.body, r.asked()-before)
		}
	}
	before := r.asked()
	got := r.raw("TRACE /a HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\nX-A: b\r\nAuthorization: secret\r\nCookie: secret\r\nConnection: close\r\n\r\n")
	if !strings.Contains(got, "\r\n\r\nTRACE /a HTTP/1.1\r\nHost: a\r\n") || !strings.Contains(got, "\r\nX-A: b\r\n") || strings.Contains(got, "secret") || r.asked() != before {
		t.Errorf("%q", got)
	}
}

func TestRFC9110Section15_2InterimResponsesOfHostileOrigins(t *testing.T) {
	const end = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfour"
	const early = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
	origin := scripted(t, map[string]string{
		"/space":  "HTTP/1.1 103 Early Hints\r\nLink : </a>\r\n\r\n" + end,
		"/hidden": "HTTP/1.1 103 Early Hints\r\nTransfer-Encoding : chunked\r\n\r\n" + end,
		"/some":   strings.Repeat(early, 20) + "HTTP/1.1 102 Processing\r\n\r\n" + end,
		"/many":   strings.Repeat(early, 10*fill.MaxInterims) + end,
	})
	r := newRig(t, func(r *rig, o *Options) { plainHTTP(r, o); o.Origin.URL = origin })
	for path, want := range map[string]struct{ hints, status, processing int }{
		"/space": {1, 200, 0}, "/hidden": {0, 502, 0}, "/some": {20, 200, 1}, "/many": {-1, 502, 0},
	} {
		got := r.raw("GET " + path + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		hints, processing := strings.Count(got, early), strings.Count(got, "HTTP/1.1 102 Processing\r\n\r\n")
		if want.hints >= 0 && hints != want.hints || hints > fill.MaxInterims || processing != want.processing || strings.Count(got, fmt.Sprintf("HTTP/1.1 %d ", want.status)) != 1 {
			t.Errorf("%s: %d hints, %q", path, hints, got)
		}
	}
}
