package proxycache

import (
	"bytes"
	"reflect"
	"slices"
	"testing"
	"time"
	"unsafe"

	"walpurge/internal/http1"
	"walpurge/internal/proxycache/store"
	"walpurge/internal/rfc9111"
)

// lines are a head's lines, sorted but for the first.
func lines(head []byte) []string {
	var all []string
	for l := range bytes.SplitSeq(bytes.TrimSuffix(head, http1.CRLF), http1.CRLF) {
		all = append(all, string(l))
	}
	slices.Sort(all[1:])
	return all
}

// checkDressed looks whether an entry tells its head as it was stored and as
// clients get it.
func checkDressed(t testing.TB, l store.Dressing, head []byte) {
	t.Helper()
	e := &store.Entry{}
	e.SetKey("http://a/b\nkey")
	e.SetHead(head)
	if !bytes.Equal(e.Head(), head) || !bytes.Equal(e.Sent(), head) {
		t.Fatalf("%q is stored as %q and sent as %q", head, e.Head(), e.Sent())
	}
	want := e.Header()
	sent, ours, dropped := l.Dress(head)
	e.SetDressed(sent, ours, dropped)
	for _, key := range []string{"http://a/b\nkey", "short", "one that is longer than it was before"} {
		e.SetKey(key)
		if e.Key() != key || !bytes.Equal(e.Sent(), sent) || !slices.Equal(lines(e.Head()), lines(head)) {
			t.Fatalf("%q of %q, dressed as %q, is stored as %q under %q and sent as %q", head, key, sent, e.Head(), e.Key(), e.Sent())
		}
	}
	if got := e.Header(); !reflect.DeepEqual(got, want) {
		t.Fatalf("the fields of %q are %q, want %q", head, got, want)
	}
	for name := range want {
		if got := e.Field(name); got != want[name][0] {
			t.Fatalf("the first %s of %q is %q", name, head, got)
		}
	}
}

func TestBothHeadsLieInOneText(t *testing.T) {
	for _, head := range []string{
		"HTTP/1.1 200 OK\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n",
		"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Type: text/plain\r\nExpires: 0\r\nPragma: x\r\nVary: A\r\nContent-Length: 2\r\n",
		"HTTP/1.1 200 OK\r\nCache-Control: no-transform\r\nCache-Control: max-age=1\r\nEtag: \r\nContent-Length: 2\r\n",
		"HTTP/1.1 404 Not Found\r\nEtag: \"1\"\r\nLast-Modified: Thu, 18 Aug 2050 02:01:18 GMT\r\nVary: Accept-Encoding\r\n",
	} {
		for _, l := range []store.Dressing{{}, {Revalidate: true}, {Vary: true}, {Revalidate: true, Vary: true}, {Revalidate: true, Vary: true, Tag: `"ours"`}} {
			checkDressed(t, l, []byte(head))
		}
	}
}

// What clients are told is ours is ours: an empty tag of the origin's doesn't
// stand in its way.
func TestTagOfOursIsTheOnlyOne(t *testing.T) {
	e := &store.Entry{}
	head := []byte("HTTP/1.1 200 OK\r\nEtag: \r\nContent-Length: 2\r\n")
	e.SetHead(head)
	e.SetDressed((store.Dressing{Revalidate: true, Tag: `"ours"`}).Dress(head))
	if e.Tag() != `"ours"` || e.ETag() != "" || bytes.Count(e.Sent(), []byte("Etag")) != 1 {
		t.Fatalf("tag %q, the origin's %q: %q", e.Tag(), e.ETag(), e.Sent())
	}
}

func TestLeewayIsNeverLonger(t *testing.T) {
	for d, want := range map[time.Duration]time.Duration{
		-time.Second: 0, 0: 0, time.Millisecond: 0, 19 * time.Millisecond: 10 * time.Millisecond,
		time.Second: time.Second, 90 * time.Second: 90 * time.Second, 400 * 24 * time.Hour: 400 * 24 * time.Hour,
		rfc9111.MaxDelta * time.Second: (1<<32 - 1) * 10 * time.Millisecond,
	} {
		if got := time.Duration(store.LeewayOf(d).Nanos()); got != want {
			t.Errorf("%s counts as %s, want %s", d, got, want)
		}
	}
}

// An entry is in a size class of the allocator's with nothing to spare: eight
// bytes more are sixteen.
func TestSizeOfAnEntry(t *testing.T) {
	if n := unsafe.Sizeof(store.Entry{}); unsafe.Sizeof(uintptr(0)) == 8 && n > 176 {
		t.Errorf("an entry takes %d bytes, want at most 176", n)
	}
}
