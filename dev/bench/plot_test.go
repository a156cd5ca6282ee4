package main

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// wellFormed reads the picture to its end.
func wellFormed(text string) error {
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func TestPicturesAreWellFormed(t *testing.T) {
	points := []point{
		{family: nginx, label: "TTL 1 s", x: 0.3, y: 0.02, joined: true},
		{family: nginx, label: "TTL 60 s", x: 0.01, y: 0.8, joined: true},
		{family: varnish, label: "purged & gone", x: 0.1, y: 0.001},
		{family: guarded, x: 0.1},
	}
	s := scatter(points, staleSettings{keys: 1000, reads: 1000, writes: 100, span: time.Minute})
	for _, want := range []string{"nginx, TTL 1 s", "Varnish, purged &amp; gone", "walpurge", "1,000 reads and 100 row changes", ">none<", "prefers-color-scheme:dark"} {
		if !strings.Contains(s, want) {
			t.Errorf("%q is missing", want)
		}
	}
	b := dots([]dot{{guarded, 6, 5, 7, 150_000}, {haproxy, 8, 8, 9, 100_000}, {django, 300, 290, 320, 3000}}, "What <it> costs", "x")
	for _, want := range []string{"8.0 µs · 1.33 of ours · 100,000/s", "What &lt;it&gt; costs"} {
		if !strings.Contains(b, want) {
			t.Errorf("%q is missing", want)
		}
	}
	for _, text := range []string{s, b} {
		if err := wellFormed(text); err != nil {
			t.Error(err)
		}
	}
}

// Every value is on the scale, in its order.
func TestLogScaleCovers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64Range(1e-6, 1), 1, 20).Draw(t, "values")
		l := newLogScale(values, 1, 100, 500)
		for _, v := range values {
			if at := l.at(v); at < 99.99 || at > 500.01 {
				t.Fatalf("%v is at %v", v, at)
			}
		}
		a, b := values[0], values[len(values)-1]
		if a < b && l.at(a) > l.at(b) {
			t.Fatalf("%v is right of %v", a, b)
		}
		if d := l.decades(); len(d) < 2 || d[0] > min(a, b)*1.0001 {
			t.Fatalf("decades %v don't begin below %v", d, min(a, b))
		}
	})
}

// Labels of points that lie on one another are all legible.
func TestLabelsDoNotCoverEachOther(t *testing.T) {
	l := labels{right: 700}
	for range 8 {
		l.put(300, 200, 5, 12, "Varnish, TTL 10 s", false)
	}
	for i, a := range l.taken {
		for _, b := range l.taken[:i] {
			if a.meets(b) {
				t.Errorf("%v covers %v", a, b)
			}
		}
	}
	if len(l.taken) != 8 {
		t.Errorf("%d labels have a place, want 8", len(l.taken))
	}
}

func TestNumbersAreShort(t *testing.T) {
	for x, want := range map[float64]string{0: "0", 1: "1.00", 0.823: "0.82", 400: "400", 12.345: "12.35"} {
		if got := number(x); got != want {
			t.Errorf("%v: got %s, want %s", x, got, want)
		}
	}
	for x, want := range map[float64]string{0: "0", 999: "999", 1000: "1,000", 1234567.4: "1,234,567"} {
		if got := thousands(x); got != want {
			t.Errorf("%v: got %s, want %s", x, got, want)
		}
	}
	for x, want := range map[float64]string{0: "0 %", 0.5: "50.00 %", 0.00001: "0.0010 %"} {
		if got := percent(x); got != want {
			t.Errorf("%v: got %s, want %s", x, got, want)
		}
	}
}
