package rfc9111

import (
	"slices"
	"testing"

	"walpurge/internal/http1"
)

// request has fields given as "Name: value".
func request(t testing.TB, fields ...string) *http1.Request {
	t.Helper()
	head := "GET / HTTP/1.1\r\nHost: a\r\n"
	for _, f := range fields {
		head += f + "\r\n"
	}
	req, err := http1.NewRequest([]byte(head + "\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func TestRFC9111Section4_1AcceptEncodingIsNormalised(t *testing.T) {
	for v, want := range map[string]string{
		"gzip, deflate, br": "gzip, br", "br;q=1.0, gzip;q=0.8, *;q=0.1": "gzip, br, zstd", "deflate": "identity", "": "identity",
		"gzip;q=0": "identity", "*;q=0": "identity", "GZIP": "gzip", "*, br;q=0.0": "gzip, zstd", "x-gzip": "gzip",
	} {
		if got := AcceptEncoding(request(t, "Accept-Encoding: "+v)).String(); got != want {
			t.Errorf("%q: %q, want %q", v, got, want)
		}
	}
}

func TestRFC9111Section4_1VariantsThatAreTheSame(t *testing.T) {
	names := VaryNames(parse("Vary: X-List,accept-language", "Vary: Accept-Encoding, x-list"))
	if want := []string{"accept-encoding", "accept-language", "x-list"}; !slices.Equal(names, want) {
		t.Fatalf("%q", names)
	}
	variant := func(fields ...string) string { return string(AppendVariant(nil, names, request(t, fields...))) }
	for _, c := range []struct {
		a, b []string
		same bool
	}{
		{[]string{"X-List: a, b"}, []string{"x-list: a,b"}, true},
		{[]string{"X-List: a", "X-List: b"}, []string{"X-List: a, b"}, true},
		{[]string{"X-List: \"a, b\""}, []string{"X-List: \"a,b\""}, false},
		{[]string{"X-List: a b"}, []string{"X-List: ab"}, false},
		{[]string{"X-List:"}, nil, false},
		{[]string{"Accept-Language: en, de;q=0.5"}, []string{"Accept-Language: DE;q=0.5 , en"}, true},
		{[]string{"Accept-Language: en, de"}, []string{"Accept-Language: de, en"}, true},
		{[]string{"Accept-Language: en, de;q=0.5"}, []string{"Accept-Language: en, de;q=0.6"}, false},
		{[]string{"Accept-Language: en;q=x"}, []string{"Accept-Language: en"}, false},
		{[]string{"Accept-Encoding: br, gzip"}, []string{"Accept-Encoding: gzip;q=0.2, br"}, true},
		{[]string{"Accept-Encoding: br"}, nil, false},
		{[]string{"X-Other: a"}, nil, true},
	} {
		if a, b := variant(c.a...), variant(c.b...); (a == b) != c.same {
			t.Errorf("%q and %q: %q and %q", c.a, c.b, a, b)
		}
	}
	if a, b := variant("X-List: a", "Accept-Language: en"), variant("X-List: a", "Accept-Language: de"); !SameButLanguage(a, b) {
		t.Errorf("%q and %q", a, b)
	}
	if a, b := variant("X-List: a", "Accept-Language: en"), variant("X-List: b", "Accept-Language: en"); SameButLanguage(a, b) {
		t.Errorf("%q and %q", a, b)
	}
}

func TestRFC9111Section4_1TheLanguageWantedBeforeAllOthers(t *testing.T) {
	for v, want := range map[string]string{
		"de": "de", "en;q=0.5, de": "de", "de;q=0.3, en;q=0.301": "en",
		"": "", "de, en": "", "*": "", "de;q=0": "", "de;q=2": "", "de;": "de", "d e": "",
	} {
		if got, ok := WantedLanguage(request(t, "Accept-Language: "+v)); got != want || ok != (want != "") {
			t.Errorf("%q: %q, want %q", v, got, want)
		}
	}
}

func TestRFC9110Section12_5_3PreferredCoding(t *testing.T) {
	for v, want := range map[string]int{
		"gzip": InGzip, "gzip, br": InBrotli, "gzip, zstd;q=0.5": InGzip, "*": InBrotli, "br;q=0, *": InZstd, "x-gzip": InGzip,
		"": Identity, "deflate": Identity, "gzip;q=0": Identity, "identity, gzip;q=0.5": Identity, "gzip;q=x": Identity,
	} {
		if got := PreferredCoding(request(t, "Accept-Encoding: "+v)); got != want {
			t.Errorf("%q: %s, want %s", v, CodingNames[got], CodingNames[want])
		}
	}
	if got := PreferredCoding(request(t)); got != Identity {
		t.Error(CodingNames[got])
	}
}

func TestRFC9110Section8_8_3_3TagsTellFormsApart(t *testing.T) {
	for tag, want := range map[string]string{`"a"`: `"a~br"`, `W/"a"`: `W/"a"`, "": ""} {
		if got := CodedTag(tag, InBrotli); got != want || StripCodings(got) != tag {
			t.Errorf("%s: %s, want %s", tag, got, want)
		}
		if got := CodedTag(tag, Identity); got != tag {
			t.Errorf("%s: %s", tag, got)
		}
	}
	if got := StripCodings(`"a~br", W/"b~gzip", "c~zstd", "d~x"`); got != `"a", W/"b", "c", "d~x"` {
		t.Error(got)
	}
}

func TestReadingARequestAllocatesNothing(t *testing.T) {
	req := request(t, "Accept-Encoding: gzip;q=0.5, br", "Accept-Language: de, en;q=0.5", "X-List: a, b", `If-None-Match: "b", W/"a"`)
	names := []string{"accept-encoding", "accept-language", "x-list"}
	dst := make([]byte, 0, 256)
	if n := testing.AllocsPerRun(100, func() {
		dst = AppendVariant(dst[:0], names, req)
		if PreferredCoding(req) != InBrotli || !MatchesAny(req.Get(http1.IfNoneMatch), `"a"`) {
			t.Fatal(string(dst))
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
