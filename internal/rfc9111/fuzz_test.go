package rfc9111

import (
	"bufio"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// FuzzJudge gives whole heads of responses to the policy. Whatever the origin
// says, a verdict keeps to its bounds and to the plainest prohibitions.
func FuzzJudge(f *testing.F) {
	f.Add("Cache-Control: max-age=60, no-cache=\"a\"\r\nVary: Accept\r\nAge: 5\r\n", 200)
	f.Add("Expires: Thu, 18 Aug 2050 02:01:18 GMT\r\nDate: x\r\nCDN-Cache-Control: max-age=5\r\n", 404)
	f.Add("Content-Range: bytes 0-3/9\r\nCache-Control: private=\"set-cookie\"\r\nSet-Cookie: a=b\r\n", 206)
	f.Fuzz(func(t *testing.T, fields string, status int) {
		status = 100 + int(uint(status)%500)
		resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader("HTTP/1.1 "+strconv.Itoa(status)+" x\r\n"+fields+"\r\n")), nil)
		if err != nil {
			return
		}
		h := resp.Header
		now := time.Unix(1_800_000_000, 0)
		a := &Answer{Status: resp.StatusCode, Header: h, Sent: now.Add(-time.Second), Received: now}
		v := Judge(&Question{Heuristics: true, Part: true}, a)
		if v.Age < 0 || v.Age > MaxDelta*time.Second || v.Store && (v.Lifetime < 0 || v.Lifetime > MaxDelta*time.Second) {
			t.Fatalf("%q: %+v", fields, v)
		}
		if len(h["Cache-Control"]) == 1 && h.Get("Cache-Control") == "no-store" && v.Store && len(h["Cdn-Cache-Control"]) == 0 && len(h[OwnTarget]) == 0 {
			t.Fatalf("%q is stored", fields)
		}
		if v.Store && len(h["Set-Cookie"]) > 0 && len(v.Withheld) == 0 {
			t.Fatalf("%q is stored with its cookie", fields)
		}
	})
}

// FuzzWish: whatever a request asks for, there are no negative spans in it.
func FuzzWish(f *testing.F) {
	f.Add("max-stale, max-age=5, min-fresh=\"7\"", "")
	f.Add("", "x, No-Cache")
	f.Fuzz(func(t *testing.T, cacheControl, pragma string) {
		w := ParseWish([]string{cacheControl}, []string{pragma})
		for _, d := range []delta{w.maxAge, w.minFresh, w.maxStale, w.staleIfError} {
			if d.seconds < 0 || d.seconds > MaxDelta {
				t.Fatalf("%q: %+v", cacheControl, w)
			}
		}
	})
}
