package http1

import (
	"slices"
	"strings"
	"testing"
)

func TestTakeCookieLeavesTheOthers(t *testing.T) {
	for _, c := range []struct {
		sent, left []string
		taken      string
	}{
		{[]string{"a=1"}, []string{"a=1"}, ""},
		{[]string{"p=x"}, nil, "x"},
		{[]string{"p=x; a=1; b=2"}, []string{"a=1; b=2"}, "x"},
		{[]string{"a=1; p=x; b=2"}, []string{"a=1; b=2"}, "x"},
		{[]string{"a=1; b=2; p=x"}, []string{"a=1; b=2"}, "x"},
		{[]string{"a=1;p=x;b=2;p=y"}, []string{"a=1; b=2"}, "x y"},
		{[]string{"p=x;p=y; p = z "}, nil, "x y z"},
		{[]string{"a=1; p=x; b=2; p=y; c=3"}, []string{"a=1; b=2; c=3"}, "x y"},
		{[]string{"p=x", "a=1"}, []string{"a=1"}, "x"},
		{[]string{"a=1", "b=2; p=y"}, []string{"a=1", "b=2"}, "y"},
		{[]string{"pp=1; P=2; p"}, []string{"pp=1; P=2; p"}, ""},
		{[]string{"a=p=x"}, []string{"a=p=x"}, ""},
		{[]string{"p=a=b=="}, nil, "a=b=="},
		{[]string{"p="}, nil, ""},
	} {
		head := "GET / HTTP/1.1\r\nHost: h\r\n"
		for _, v := range c.sent {
			head += "Cookie: " + v + "\r\n"
		}
		head += "Accept: x\r\n\r\n"
		bytes := []byte(head)
		var r Request
		if err := r.parse(bytes); err != nil {
			t.Fatal(err)
		}
		var taken, left []string
		r.TakeCookie("p", func(v []byte) { taken = append(taken, string(v)) })
		for _, v := range r.Values("cookie") {
			left = append(left, string(v))
		}
		if !slices.Equal(left, c.left) || strings.Join(taken, " ") != c.taken {
			t.Errorf("%q: left %q, taken %q", c.sent, left, taken)
		}
		if r.Has(Of(Cookie)) != (len(c.left) > 0) || string(bytes) != head || len(r.Values("accept")) != 1 || len(r.Fields) != 2+len(c.left) {
			t.Errorf("%q: the request is damaged: %q", c.sent, r.Fields)
		}
	}
}
