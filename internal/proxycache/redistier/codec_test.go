package redistier

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"reflect"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"

	"walpurge/internal/coherence"
	"walpurge/internal/proxycache/outcome"
	"walpurge/internal/proxycache/route"
	"walpurge/internal/proxycache/store"
)

func samples() []*Record {
	return []*Record{
		{
			text:   store.Packed{S: "http://a/b?cHTTP/1.1 200 OK\r\nContent-Length: 2\r\nVary: Accept-Encoding\r\n\x17Pragma: no-cache\r\n", Key: 12, Sent: 71},
			status: 200, Guarded: true, shared: true, Declares: true, shown: store.Shown{Revalidate: true, Compress: true, Vary: true},
			Epoch: 1<<64 - 1, Asof: 1<<63 + 5,
			arrived: time.Unix(1700000000, 123), age: time.Second, lifetime: time.Hour, swr: 1, sie: 2, body: []byte("hi"),
		},
		{text: store.Packed{S: "kHTTP/1.1 404 Not Found\r\n", Key: 1, Sent: 25}, status: 404, arrived: time.Unix(0, 0), body: []byte{}},
		{text: store.Pack("k"), Names: []string{"accept-encoding", "accept-language"}},
	}
}

func TestStoredResponseSurvivesTheWay(t *testing.T) {
	for _, s := range samples() {
		got := new(Record)
		if !got.decode(s.encode(nil)) {
			t.Fatal("it doesn't decode")
		}
		if !got.arrived.Equal(s.arrived) {
			t.Errorf("%s, want %s", got.arrived, s.arrived)
		}
		got.arrived = s.arrived
		if !reflect.DeepEqual(got, s) {
			t.Errorf("%+v, want %+v", got, s)
		}
	}
}

func TestEveryDamagedByteIsNoticed(t *testing.T) {
	for _, s := range samples() {
		good := s.encode(nil)
		for i := range good {
			bad := bytes.Clone(good)
			bad[i] ^= 1
			if new(Record).decode(bad) {
				t.Errorf("byte %d of %d", i, len(good))
			}
			if new(Record).decode(good[:i]) {
				t.Errorf("cut at %d of %d", i, len(good))
			}
		}
	}
}

// FuzzDecodeStored gives the decoder payloads with a right checksum, so that
// it isn't the checksum alone that keeps nonsense out.
func FuzzDecodeStored(f *testing.F) {
	for _, s := range samples() {
		b := s.encode(nil)
		f.Add(b[:len(b)-8])
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		b := withChecksum(payload)
		s, again := new(Record), new(Record)
		if !s.decode(b) {
			return
		}
		if !again.decode(s.encode(nil)) {
			t.Fatal("what was decoded doesn't encode")
		}
		if again.text != s.text || !bytes.Equal(again.body, s.body) || again.Asof != s.Asof || again.lifetime != s.lifetime {
			t.Fatalf("%+v became %+v", s, again)
		}
	})
}

func withChecksum(payload []byte) []byte {
	return binary.LittleEndian.AppendUint64(bytes.Clone(payload), xxhash.Sum64(payload))
}

// storedSample is a value as the Redis tier gives it, and what it was made by.
func storedSample(t testing.TB) (m *store.Memory, rt *route.Route, value []byte) {
	m, err := store.New(1<<20, nil, func() coherence.Nanos { return 1 }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	m.Compress = true
	rt = route.NewPlain("other", outcome.Counters{})
	e := &store.Entry{Memory: m, Route: rt, Status: 200, Fresh: coherence.Nanos(time.Hour), Body: bytes.Repeat([]byte("body "), 400)}
	e.SetKey("http://shop.example/api/listings/1")
	e.SetHead([]byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2000\r\n"))
	m.Finish(e)
	tier := &Tier{compress: true}
	return m, rt, tier.value(&job{key: e.Key(), entry: e})
}

// What a value is made of is taken from it: the entry and the room for its
// other codings are all that is made.
func TestReadingAStoredValueCopiesNothing(t *testing.T) {
	m, rt, value := storedSample(t)
	var s Record
	if n := testing.AllocsPerRun(100, func() {
		s = Record{}
		if !s.decode(value) || !s.Entry(m, rt, 1).Negotiates() {
			t.Fatal("not as it was stored")
		}
	}); n != 2 && !raceEnabled {
		t.Errorf("%.0f allocations", n)
	}
}

// BenchmarkStored is what reading a value from Redis costs beside the way.
func BenchmarkStored(b *testing.B) {
	m, rt, value := storedSample(b)
	b.ReportAllocs()
	for b.Loop() {
		var s Record
		if !s.decode(value) || s.Entry(m, rt, 1) == nil {
			b.Fatal("not as it was stored")
		}
	}
}
