package proxycache

import (
	"bytes"
	"encoding/binary"
	"errors"
	"time"

	"github.com/cespare/xxhash/v2"

	"walpurge/internal/coherence"
)

// A value in Redis is
//
//	"wp", version, kind, payload, xxhash64 of all before
//
// Numbers are unsigned varints, byte strings carry their length. Whatever
// doesn't decode exactly is a miss.
const (
	codecVersion = 1
	kindEntry    = 1
	kindMarker   = 2

	flagGuarded = 1 << 0
	flagShared  = 1 << 1
)

// stored is a value of the Redis tier.
type stored struct {
	key   string   // the full key, since the name in Redis is only its hash
	names []string // of a marker: the fields that the response varies by

	status   int
	guarded  bool
	shared   bool
	epoch    coherence.Epoch
	asof     coherence.LSN
	arrived  time.Time // by the wall's clock
	age      time.Duration
	lifetime time.Duration
	swr, sie time.Duration
	head     []byte
	body     []byte
}

// ownBody is the body for an entry, which has a head of its own. It leaves the
// value that s was decoded from, unless nearly all of that is the body.
func (s *stored) ownBody() []byte {
	if len(s.key)+len(s.head)+64 < len(s.body)/8 {
		return s.body
	}
	return bytes.Clone(s.body)
}

var errStored = errors.New("decode stored response: malformed")

// encode appends the value's bytes to dst.
func (s *stored) encode(dst []byte) []byte {
	start := len(dst)
	kind := byte(kindEntry)
	if s.names != nil {
		kind = kindMarker
	}
	dst = append(dst, 'w', 'p', codecVersion, kind)
	dst = appendBytes(dst, s.key)
	if kind == kindMarker {
		dst = binary.AppendUvarint(dst, uint64(len(s.names)))
		for _, n := range s.names {
			dst = appendBytes(dst, n)
		}
	} else {
		var flags byte
		if s.guarded {
			flags |= flagGuarded
		}
		if s.shared {
			flags |= flagShared
		}
		dst = append(dst, flags)
		for _, n := range []uint64{
			uint64(s.status), uint64(s.epoch), uint64(s.asof), uint64(s.arrived.UnixNano()),
			uint64(s.age), uint64(s.lifetime), uint64(s.swr), uint64(s.sie),
		} {
			dst = binary.AppendUvarint(dst, n)
		}
		dst = appendBytes(dst, s.head)
		dst = appendBytes(dst, s.body)
	}
	return binary.LittleEndian.AppendUint64(dst, xxhash.Sum64(dst[start:]))
}

func appendBytes[T string | []byte](dst []byte, b T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// decodeStored reads a value. The result borrows b.
func decodeStored(b []byte) (*stored, error) {
	if len(b) < 12 || b[0] != 'w' || b[1] != 'p' || b[2] != codecVersion {
		return nil, errStored
	}
	end := len(b) - 8
	if binary.LittleEndian.Uint64(b[end:]) != xxhash.Sum64(b[:end]) {
		return nil, errStored
	}
	d := decoder{b: b[4:end]}
	s := &stored{key: string(d.bytes())}
	switch b[3] {
	case kindMarker:
		n := d.number(maxFieldsVaried)
		for range n {
			s.names = append(s.names, string(d.bytes()))
		}
		d.bad = d.bad || n == 0
	case kindEntry:
		d.entry(s)
	default:
		return nil, errStored
	}
	if d.bad || len(d.b) > 0 {
		return nil, errStored
	}
	return s, nil
}

// Bounds of what is believed.
const (
	maxFieldsVaried = 64
	maxTime         = 1<<63 - 1
	maxSpan         = uint64(maxDelta) * uint64(time.Second)
)

func (d *decoder) entry(s *stored) {
	if len(d.b) == 0 {
		d.bad = true
		return
	}
	flags := d.b[0]
	d.b = d.b[1:]
	s.guarded, s.shared = flags&flagGuarded != 0, flags&flagShared != 0
	s.status = int(d.number(599))
	s.epoch, s.asof = coherence.Epoch(d.number(1<<64-1)), coherence.LSN(d.number(1<<64-1))
	s.arrived = time.Unix(0, int64(d.number(maxTime)))
	s.age, s.lifetime = time.Duration(d.number(maxSpan)), time.Duration(d.number(maxSpan))
	s.swr, s.sie = time.Duration(d.number(maxSpan)), time.Duration(d.number(maxSpan))
	s.head, s.body = d.bytes(), d.bytes()
	if s.status < 200 || flags&^(flagGuarded|flagShared) != 0 || len(s.head) < 15 || string(s.head[:9]) != "HTTP/1.1 " {
		d.bad = true
	}
}

// decoder reads from b; after an error it reads zeros.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) number(most uint64) uint64 {
	n, size := binary.Uvarint(d.b)
	if size <= 0 || n > most {
		d.bad = true
		d.b = nil
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *decoder) bytes() []byte {
	n := d.number(1 << 40)
	if n > uint64(len(d.b)) {
		d.bad = true
		d.b = nil
		return nil
	}
	b := d.b[:n:n]
	d.b = d.b[n:]
	return b
}
