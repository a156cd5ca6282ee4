package redistier

import (
	"encoding/binary"
	"time"

	"github.com/cespare/xxhash/v2"

	"walpurge/internal/coherence"
	"walpurge/internal/proxycache/store"
	"walpurge/internal/rfc9111"
)

// A value in Redis is
//
//	"wp", version, kind, payload, xxhash64 of all before
//
// Numbers are unsigned varints, byte strings carry their length. Whatever
// doesn't decode exactly is a miss. A response's payload has its text as an
// entry has it, so that what is read need not be made ready to be sent again.
const (
	codecVersion = 2
	kindEntry    = 1
	kindMarker   = 2
)

// Record is a value of the Redis tier.
type Record struct {
	text  store.Packed // its key, since the name in Redis is only the hash of it, and its heads
	Names []string     // of a marker: the fields that the response varies by

	status   int
	Guarded  bool // it has dependencies
	shared   bool
	Declares bool            // the head names dependencies of its own
	shown    store.Shown     // how the head as clients get it was made
	Epoch    coherence.Epoch // of a guarded one
	Asof     coherence.LSN   // in that epoch
	arrived  time.Time       // by the wall's clock
	age      time.Duration
	lifetime time.Duration
	swr, sie time.Duration
	body     []byte
}

// key is what s is stored under.
func (s *Record) key() string { return s.text.S[:s.text.Key] }

// encode appends the value's bytes to dst.
func (s *Record) encode(dst []byte) []byte {
	start := len(dst)
	kind := byte(kindEntry)
	if s.Names != nil {
		kind = kindMarker
	}
	dst = append(dst, 'w', 'p', codecVersion, kind)
	if kind == kindMarker {
		dst = appendBytes(dst, s.key())
		dst = binary.AppendUvarint(dst, uint64(len(s.Names)))
		for _, n := range s.Names {
			dst = appendBytes(dst, n)
		}
	} else {
		var flags byte
		for bit, set := range s.flags() {
			if *set {
				flags |= 1 << bit
			}
		}
		dst = append(dst, flags)
		for _, n := range []uint64{
			uint64(s.status), uint64(s.Epoch), uint64(s.Asof), uint64(s.arrived.UnixNano()),
			uint64(s.age), uint64(s.lifetime), uint64(s.swr), uint64(s.sie), uint64(s.text.Key), uint64(s.text.Sent),
		} {
			dst = binary.AppendUvarint(dst, n)
		}
		dst = appendBytes(dst, s.text.S)
		dst = appendBytes(dst, s.body)
	}
	return binary.LittleEndian.AppendUint64(dst, xxhash.Sum64(dst[start:]))
}

// flags are what is a bit in the value, the lowest first.
func (s *Record) flags() [6]*bool {
	return [...]*bool{&s.Guarded, &s.shared, &s.Declares, &s.shown.Revalidate, &s.shown.Compress, &s.shown.Vary}
}

func appendBytes[T string | []byte](dst []byte, b T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// decode reads a value into s, which is empty and borrows b. It reports false
// if b is none.
func (s *Record) decode(b []byte) bool {
	if len(b) < 12 || b[0] != 'w' || b[1] != 'p' || b[2] != codecVersion {
		return false
	}
	end := len(b) - 8
	if binary.LittleEndian.Uint64(b[end:]) != xxhash.Sum64(b[:end]) {
		return false
	}
	d := decoder{b: b[4:end]}
	switch b[3] {
	case kindMarker:
		s.text = store.Pack(string(d.bytes()))
		n := d.number(maxFieldsVaried)
		for range n {
			s.Names = append(s.Names, string(d.bytes()))
		}
		d.bad = d.bad || n == 0
	case kindEntry:
		d.entry(s)
	default:
		return false
	}
	return !d.bad && len(d.b) == 0
}

// Bounds of what is believed.
const (
	maxFieldsVaried = 64
	maxTime         = 1<<63 - 1
	maxText         = 1<<32 - 1
	maxSpan         = uint64(rfc9111.MaxDelta) * uint64(time.Second)
)

func (d *decoder) entry(s *Record) {
	if len(d.b) == 0 {
		d.bad = true
		return
	}
	flags := d.b[0]
	d.b = d.b[1:]
	for bit, set := range s.flags() {
		*set = flags&(1<<bit) != 0
	}
	s.status = int(d.number(599))
	s.Epoch, s.Asof = coherence.Epoch(d.number(1<<64-1)), coherence.LSN(d.number(1<<64-1))
	s.arrived = time.Unix(0, int64(d.number(maxTime)))
	s.age, s.lifetime = time.Duration(d.number(maxSpan)), time.Duration(d.number(maxSpan))
	s.swr, s.sie = time.Duration(d.number(maxSpan)), time.Duration(d.number(maxSpan))
	key, sent := d.number(maxText), d.number(maxText)
	s.text.Seal(d.bytes(), int(sent))
	s.text.Key = uint32(key)
	s.body = d.bytes()
	if s.status < 200 || flags >= 1<<len(s.flags()) || !s.text.Sound() {
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
