package proxycache

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"walpurge/internal/http1"
	"walpurge/internal/proxycache/outcome"
	"walpurge/internal/proxycache/route"
	"walpurge/internal/rfc9111"
)

// decisions is the table of what becomes of requests, and how explain says it.
var decisions = []struct {
	name, request string // without the version, Host and the end
	body          bool
	way           way
	status        string // what Cache-Status says of it
	cached        bool
	words         string // a part of the explanation
}{
	{"a page", "GET /elsewhere", false, toLookUp, "", true, "No route is declared"},
	{"its head", "HEAD /elsewhere", false, toLookUp, "", true, "No route is declared"},
	{"a page with dependencies", "GET /api/listings/1", false, toLookUp, "", true, "until a row"},
	{"a route without dependencies", "GET /plain/a", false, toLookUp, "", true, "for its lifetime"},
	{"a range", "GET /elsewhere\nRange: bytes=0-1", false, toLookUp, "", true, "No route is declared"},
	{"credentials", "GET /elsewhere\nAuthorization: x", false, toLookUp, "", true, "No route is declared"},
	{"a condition of the client's cache", "GET /elsewhere\nIf-None-Match: \"a\"", false, toLookUp, "", true, "No route is declared"},
	{"validated", "GET /elsewhere\nCache-Control: no-cache", false, toLookUp, "", true, "No route is declared"},
	{"only from the cache", "GET /elsewhere\nCache-Control: only-if-cached", false, toLookUp, "", true, "No route is declared"},

	{"a tunnel", "CONNECT /elsewhere", false, toRefuse, "detail=connect", false, "opens no tunnels"},
	{"the feed", "GET /feed", false, toFeed, "", false, "the feed"},
	{"the feed, unsafe", "POST /feed", true, toFeed, "", false, "the feed"},
	{"a trace that ends here", "TRACE /elsewhere\nMax-Forwards: 0", false, toAnswerHere, "", false, "no further"},
	{"options that end here", "OPTIONS /api/listings\nMax-Forwards: 0", false, toAnswerHere, "", false, "no further"},
	{"a trace that goes on", "TRACE /elsewhere\nMax-Forwards: 1", false, toPass, "fwd=method", false, "Only GET and HEAD"},
	{"another protocol", "GET /elsewhere\nConnection: Upgrade\nUpgrade: websocket", false, toUpgrade, "fwd=bypass; detail=upgrade", false, "another protocol"},
	{"a way around HTTP", "GET /elsewhere\nConnection: Upgrade\nUpgrade: h2c", false, toLookUp, "", true, "No route is declared"},
	{"hidden fields", "GET /elsewhere\nConnection: X-Shop\nX-Shop: 1", false, toPass, "fwd=request; detail=connection", false, "Connection names"},

	{"a question", "QUERY /elsewhere", true, toRead, "", false, "request's body"},
	{"a question on a route with dependencies", "QUERY /api/listings", true, toPass, "fwd=method", false, "Only GET and HEAD"},
	{"a question about an odd path", "QUERY /a//b", true, toPass, "fwd=method", false, "Only GET and HEAD"},
	{"a question about a part", "QUERY /elsewhere\nRange: bytes=0-1", true, toPass, "fwd=method", false, "Only GET and HEAD"},
	{"a question not to be kept", "QUERY /elsewhere\nCache-Control: no-store", true, toPass, "fwd=method", false, "Only GET and HEAD"},
	{"a question where nothing is kept", "QUERY /nothing", true, toPass, "fwd=method", false, "Only GET and HEAD"},

	{"a change", "POST /elsewhere", true, toCopy, "fwd=method", false, "Only GET and HEAD"},
	{"a change on a declared route", "POST /plain/a", true, toPass, "fwd=method", false, "Only GET and HEAD"},
	{"a change on a route with dependencies", "POST /api/listings", true, toPass, "fwd=method", false, "Only GET and HEAD"},
	{"a change not to be kept", "POST /elsewhere\nCache-Control: no-store", true, toPass, "fwd=method", false, "Only GET and HEAD"},
	{"a removal", "DELETE /elsewhere", false, toPass, "fwd=method", false, "Only GET and HEAD"},
	{"an odd path", "GET /a//b", false, toPass, "fwd=bypass; detail=path", false, "read this path differently"},
	{"a precondition", "GET /elsewhere\nIf-Match: \"a\"", false, toPass, "fwd=request", false, "must have"},
	{"no-store", "GET /api/listings/1\nCache-Control: no-store", false, toPass, "fwd=request; detail=client", false, "no-store"},
	{"a route that keeps nothing", "GET /nothing", false, toPass, "fwd=bypass; detail=ttl", false, "keeps nothing"},
}

func decisionRig(t testing.TB) *rig {
	return newRig(t, func(_ *rig, o *Options) {
		o.Routes = append(o.Routes, route.Declaration{Pattern: "/feed", Events: true}, route.Declaration{Pattern: "/nothing", TTL: new(time.Duration(0))})
	})
}

// TestDecide: what becomes of a request follows from the request and its route.
func TestDecide(t *testing.T) {
	r := decisionRig(t)
	for _, c := range decisions {
		req, err := http1.NewRequest([]byte(strings.Replace(strings.ReplaceAll(c.request, "\n", "\r\n")+"\r\n", "\r\n", " HTTP/1.1\r\nHost: a\r\n", 1) + "\r\n"))
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		ex := &http1.Exchange{Request: req}
		if c.body {
			ex.Body = new(http1.Body)
		}
		v := r.proxy.newExchange(ex, 1, false, nil).decide()
		if status := strings.TrimPrefix(strings.TrimPrefix(v.cs.String(), "walpurge"), "; "); v.way != c.way || status != c.status {
			t.Errorf("%s: %d with %q, want %d with %q", c.name, v.way, status, c.way, c.status)
		}
	}
	ex := &http1.Exchange{Body: new(http1.Body)}
	ex.Request, _ = http1.NewRequest([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
	if v := r.proxy.newExchange(ex, 1, false, nil).decide(); v.way != toPass || v.cs.Fwd != rfc9111.FwdRequest || v.cs.Detail != outcome.RequestBody {
		t.Errorf("a GET with a body: %+v", v)
	}
}

// TestExplainSaysWhatIsDecided goes through the same table.
func TestExplainSaysWhatIsDecided(t *testing.T) {
	r := decisionRig(t)
	for _, c := range decisions {
		lines := strings.Split(c.request, "\n")
		method, target, _ := strings.Cut(lines[0], " ")
		h := make(http.Header)
		for _, l := range lines[1:] {
			name, value, _ := strings.Cut(l, ": ")
			h.Add(name, value)
		}
		e, err := r.proxy.Explain(method, target, h)
		if err != nil || e.Cached != c.cached || !strings.Contains(e.Why, c.words) {
			t.Errorf("%s: %+v, %v; want %v with %q", c.name, e, err, c.cached, c.words)
		}
	}
}
