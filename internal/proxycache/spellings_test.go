package proxycache

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// spelled asks for a page with fields spelled as given.
func (r *rig) spelled(target string, fields ...string) reply {
	r.t.Helper()
	c := r.dial()
	defer func() { _ = c.Close() }()
	c.send("GET " + target + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + strings.Join(append(fields, ""), "\r\n") + "\r\n")
	return c.read("GET")
}

// A service that doesn't look at the letter case of a cookie must not have its
// answer to one client stored for another.
func TestCookiesInAnotherLetterCaseAreToldApart(t *testing.T) {
	r := readRig(t)
	r.answer(func(w http.ResponseWriter, req *http.Request) { _, _ = io.WriteString(w, req.Header.Get("Cookie")) })
	for _, cookies := range []string{"Shop=2", "Shop=3", "shop=", "SHOP=3", "shop=1; Shop=2", "shop=1; Shop=3", "shop=1"} {
		for range 2 {
			if got := r.spelled("/cookie", "Cookie: "+cookies); got.body != cookies {
				t.Errorf("who sends %q gets the page of %q", cookies, got.body)
			}
		}
	}
}

// What has one key has to be one request to every service: some take the blank
// for a part of the name, or a cookie without = for something else.
func TestCookiesOfOneKeyReachTheOriginAlike(t *testing.T) {
	for sent, want := range map[string]string{
		"shop = 1": "shop=1", "a=2;  shop=1 ; b": "shop=1", "shop": "shop=", `a="x; shop=1; y"`: "shop=1",
	} {
		r := readRig(t)
		r.answer(func(w http.ResponseWriter, req *http.Request) { _, _ = io.WriteString(w, req.Header.Get("Cookie")) })
		if got := r.spelled("/cookie", "Cookie: "+sent); got.body != want {
			t.Errorf("of %q the origin gets %q, want %q", sent, got.body, want)
		}
	}
}

// PHP and WSGI make HTTP_X_SHOP of X_Shop, too, and so would take another
// client's field for the one that is in the key.
func TestFieldsThatServersTakeForOthersAreNotSentWithAFill(t *testing.T) {
	r := readRig(t)
	sent := make(chan http.Header, 1)
	r.answer(func(_ http.ResponseWriter, req *http.Request) { sent <- req.Header })
	r.spelled("/header", "X-Shop: 1", "X_Shop: 2", "X.Shop: 3", "X_Original_Url: /b", "X_Forwarded_Host: evil", "X_Forwarded-For: 1.2.3.4", "Api_Key: k")
	h := <-sent
	for name := range h {
		if strings.ContainsAny(name, "_.") && name != "Api_key" {
			t.Errorf("the origin gets %s: %s", name, h[name])
		}
	}
	if h.Get("X-Shop") != "1" || h.Get("Api_Key") != "k" {
		t.Errorf("the origin gets %v", h)
	}
}
