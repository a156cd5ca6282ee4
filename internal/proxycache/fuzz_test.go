package proxycache

import (
	"bufio"
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"walpurge/internal/http1"
	"walpurge/internal/proxycache/route"
	"walpurge/internal/proxycache/store"
	"walpurge/internal/rfc9111"
	"walpurge/internal/upstream"
)

// FuzzResponse gives whole heads of responses to all that rewrites them.
// Whatever the origin says, what clients get is a head that can be read again.
func FuzzResponse(f *testing.F) {
	f.Add("Cache-Control: max-age=60, no-cache=\"a\"\r\nVary: Accept\r\nAge: 5\r\n", 200)
	f.Add("Expires: Thu, 18 Aug 2050 02:01:18 GMT\r\nDate: x\r\nCDN-Cache-Control: max-age=5\r\n", 404)
	f.Add("Content-Range: bytes 0-3/9\r\nCache-Control: private=\"set-cookie\"\r\nSet-Cookie: a=b\r\n", 206)
	f.Add("No-Vary-Search: params, except=(\"a\")\r\nCache-Groups: \"a\", \"b\"\r\n", 599)
	m := &store.Memory{Compress: true}
	f.Fuzz(func(t *testing.T, fields string, status int) {
		resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader("HTTP/1.1 "+strconv.Itoa(100+abs(status)%500)+" x\r\n"+fields+"\r\n")), nil)
		if err != nil {
			return
		}
		h := resp.Header
		if upstream.WellFormed(h) != nil {
			return
		}
		for name, values := range h {
			if !http1.IsToken([]byte(name)) || strings.ContainsAny(strings.Join(values, ""), "\r\n\x00") {
				t.Fatalf("%q: %q: %q", fields, name, values)
			}
		}
		upstream.ConnectionFields(h)
		rt := &route.Route{Guarded: true}
		block := http1.AppendFields(http1.AppendStatus(nil, resp.StatusCode), h)
		shown, _, _ := m.Dressing(rt, block, -1).Dress(http1.FinishHead(block, resp.StatusCode, 5))
		back, err := http.ReadResponse(bufio.NewReader(io.MultiReader(bytes.NewReader(shown), strings.NewReader("\r\nabcde"))), nil)
		if err != nil || back.StatusCode != resp.StatusCode || back.Header.Get("Cache-Control") != "no-cache" && back.Header.Get("Cache-Control") != "no-cache, no-transform" {
			t.Fatalf("%q became %q: %v", fields, shown, err)
		}
		key := (store.SearchRule{Search: rfc9111.ParseSearch(h)}).Key("http://a/b?c=1&d=%41&c=2\nx")
		if !strings.HasPrefix(key, "http://a/b\nsearch") {
			t.Fatalf("%q: %q", fields, key)
		}
		e := &store.Entry{}
		e.SetHead(block)
		upstream.ConnectionFields(e.Header())
		for _, l := range []store.Dressing{{}, {Revalidate: true}, {Vary: true}, {Revalidate: true, Vary: true, Tag: `"ours"`}} {
			checkDressed(t, l, http1.FinishHead(block, resp.StatusCode, 5))
		}
	})
}

func abs(n int) int {
	if n < 0 {
		return -(n + 1)
	}
	return n
}

// FuzzRange: whatever ranges are asked for, each is inside the body, and what
// is sent is what was asked for.
func FuzzRange(f *testing.F) {
	for _, v := range []string{"bytes=0-1", "bytes=-5,3-", "bytes=1-2, 9-9,,-1", "bytes=99999999999999999999-", "BYTES=0-0,0-0"} {
		f.Add(v, 10)
	}
	f.Fuzz(func(t *testing.T, v string, size int) {
		size = abs(size) % 300
		req, err := http1.NewRequest([]byte("GET / HTTP/1.1\r\nHost: a\r\nRange: " + v + "\r\n\r\n"))
		if err != nil {
			return
		}
		body := make([]byte, size)
		for i := range body {
			body[i] = byte(i)
		}
		e := &store.Entry{Status: 200, Body: body}
		e.SetHead([]byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " + strconv.Itoa(size) + "\r\n"))
		ranges, ok := store.WantedRanges(req, e, int64(size))
		if !ok {
			return
		}
		head, sent := store.AppendRanges(nil, e, e.Head(), ranges, 0, int64(size))
		resp, err := http.ReadResponse(bufio.NewReader(io.MultiReader(bytes.NewReader(head), strings.NewReader("\r\n"), bytes.NewReader(sent))), nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		if err != nil || !bytes.Equal(got, sent) {
			t.Fatalf("%q: %q, %v", v, head, err)
		}
		for i, part := range parts(t, resp, sent) {
			if !bytes.Equal(part, body[ranges[i].From:ranges[i].To]) {
				t.Fatalf("%q: range %d is %x", v, i, part)
			}
		}
	})
}

// parts are the ranges that a response has.
func parts(t *testing.T, resp *http.Response, body []byte) [][]byte {
	kind, params, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case resp.StatusCode == 416:
		return nil
	case kind != "multipart/byteranges":
		return [][]byte{body}
	}
	var all [][]byte
	for r := multipart.NewReader(bytes.NewReader(body), params["boundary"]); ; {
		p, err := r.NextRawPart()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
}

// FuzzRequest gives whole heads of requests to all that reads their fields.
func FuzzRequest(f *testing.F) {
	f.Add("Accept-Encoding: gzip;q=0.5, *;q=0, br\r\nAccept-Language: de, en;q=0.3\r\nIf-None-Match: W/\"a\", \"b~gzip\"\r\nCache-Control: max-stale\r\n", "/a?b=%41")
	f.Add("If-Modified-Since: Thursday, 18-Aug-50 02:01:18 GMT\r\nCookie: a=b; c\r\nX-Foo: 1 ,2\r\n", "/")
	f.Fuzz(func(t *testing.T, fields, target string) {
		req, err := http1.NewRequest([]byte("GET " + target + " HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n"))
		if err != nil {
			return
		}
		if c := rfc9111.PreferredCoding(req); c < rfc9111.Identity || c >= rfc9111.CodingCount {
			t.Fatalf("%q: coding %d", fields, c)
		}
		names := []string{"accept-encoding", "accept-language", "cookie", "x-foo"}
		one, two := rfc9111.AppendVariant(nil, names, req), rfc9111.AppendVariant(nil, names, req)
		if !bytes.Equal(one, two) {
			t.Fatalf("%q: %q and %q", fields, one, two)
		}
		e := &store.Entry{Status: 200}
		e.Negotiated(true)
		e.SetHead([]byte("HTTP/1.1 200 OK\r\nEtag: \"b\"\r\nLast-Modified: Thu, 18 Aug 2050 02:01:18 GMT\r\n"))
		if had, ok := store.NotModified(req, e); ok && rfc9111.StripCodings(rfc9111.CodedTag(had.Tag, had.Coding)) != e.ETag() {
			t.Fatalf("%q: %q", fields, had.Tag)
		}
		path, query, has := http1.SplitTarget(req)
		http1.CleanPath(path)
		for _, rule := range []route.QueryRule{{Only: true, Names: []string{"b"}}, {Names: []string{"b"}}, {Sort: true}} {
			rt := &route.Route{Declaration: route.Declaration{Query: rule}}
			key, at := route.AppendKey(nil, false, req, nil, rt, path, query, has)
			again := bytes.TrimPrefix(key[at.From:at.To], path)
			again = bytes.TrimPrefix(again, []byte("?"))
			if twice := route.AppendQuery(nil, rt, again, len(again) > 0); len(again) > 0 && !bytes.Equal(bytes.TrimPrefix(twice, []byte("?")), again) {
				t.Fatalf("%q by %+v is %q, then %q", query, rule, again, twice)
			}
		}
		if s := (store.SearchRule{Search: rfc9111.Search{Unordered: true}}).Key("http://a" + string(req.Target)); strings.Count(s, "\n") != 2 {
			t.Fatalf("%q", s)
		}
		if _, err := url.ParseQuery(string(query)); err == nil {
			_, _ = rfc9111.ParseDate(string(req.Get(http1.IfModifiedSince)))
		}
	})
}
