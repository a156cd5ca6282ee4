package proxycache

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
)

func samples() []*stored {
	return []*stored{
		{
			text:   text{"http://a/b?cHTTP/1.1 200 OK\r\nContent-Length: 2\r\nVary: Accept-Encoding\r\n\x17Pragma: no-cache\r\n", 12, 71},
			status: 200, guarded: true, shared: true, declares: true, shown: shown{revalidate: true, compress: true, vary: true},
			epoch: 1<<64 - 1, asof: 1<<63 + 5,
			arrived: time.Unix(1700000000, 123), age: time.Second, lifetime: time.Hour, swr: 1, sie: 2, body: []byte("hi"),
		},
		{text: text{"kHTTP/1.1 404 Not Found\r\n", 1, 25}, status: 404, arrived: time.Unix(0, 0), body: []byte{}},
		{text: newText("k"), names: []string{"accept-encoding", "accept-language"}},
	}
}

func TestStoredResponseSurvivesTheWay(t *testing.T) {
	for _, s := range samples() {
		got := new(stored)
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
			if new(stored).decode(bad) {
				t.Errorf("byte %d of %d", i, len(good))
			}
			if new(stored).decode(good[:i]) {
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
		s, again := new(stored), new(stored)
		if !s.decode(b) {
			return
		}
		if !again.decode(s.encode(nil)) {
			t.Fatal("what was decoded doesn't encode")
		}
		if again.text != s.text || !bytes.Equal(again.body, s.body) || again.asof != s.asof || again.lifetime != s.lifetime {
			t.Fatalf("%+v became %+v", s, again)
		}
	})
}

func withChecksum(payload []byte) []byte {
	return binary.LittleEndian.AppendUint64(bytes.Clone(payload), xxhash.Sum64(payload))
}
