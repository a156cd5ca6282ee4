package querycache

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"reflect"
	"strings"

	"github.com/cespare/xxhash/v2"

	"walpurge/internal/coherence"
)

// A value in Redis is
//
//	"wq", version, epoch, asof, length of the key, key, JSON, xxhash64 of all before
//
// with numbers of 8 bytes in little-endian order. Whatever doesn't decode
// exactly is a miss.
const (
	codecVersion = 1
	headSize     = 3 + 8 + 8 + 8
	sumSize      = 8
)

// stored is a value as it lies in Redis.
type stored struct {
	epoch coherence.Epoch
	asof  coherence.LSN
	key   string // in full, since the name in Redis is only its hash
	json  []byte
}

func (s *stored) encode() []byte {
	b := make([]byte, 0, headSize+len(s.key)+len(s.json)+sumSize)
	b = append(b, 'w', 'q', codecVersion)
	b = binary.LittleEndian.AppendUint64(b, uint64(s.epoch))
	b = binary.LittleEndian.AppendUint64(b, uint64(s.asof))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(s.key)))
	b = append(b, s.key...)
	b = append(b, s.json...)
	return binary.LittleEndian.AppendUint64(b, xxhash.Sum64(b))
}

// decode reads a value. The result borrows b.
func decode(b []byte) (s stored, ok bool) {
	if len(b) < headSize+sumSize || string(b[:3]) != string([]byte{'w', 'q', codecVersion}) {
		return s, false
	}
	rest, sum := b[:len(b)-sumSize], b[len(b)-sumSize:]
	if binary.LittleEndian.Uint64(sum) != xxhash.Sum64(rest) {
		return s, false
	}
	s.epoch = coherence.Epoch(binary.LittleEndian.Uint64(b[3:]))
	s.asof = coherence.LSN(binary.LittleEndian.Uint64(b[11:]))
	n := binary.LittleEndian.Uint64(b[19:])
	if rest = rest[headSize:]; n > uint64(len(rest)) {
		return s, false
	}
	s.key, s.json = string(rest[:n]), rest[n:]
	return s, true
}

// name is a key's name in Redis. The braces make a cluster hash on it alone.
func name(namespace, key string) string {
	sum := sha256.Sum256([]byte(key))
	return namespace + ":query:{" + hex.EncodeToString(sum[:16]) + "}"
}

// shapeOf spells out a type. It is part of the key: another version of the program,
// whose results have other fields, doesn't read what this one has stored.
func shapeOf(t reflect.Type) string {
	var b strings.Builder
	spell(&b, t, map[reflect.Type]bool{})
	return b.String()
}

func spell(b *strings.Builder, t reflect.Type, seen map[reflect.Type]bool) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array:
		b.WriteString(t.Kind().String() + " ")
		spell(b, t.Elem(), seen)
	case reflect.Map:
		b.WriteString("map ")
		spell(b, t.Key(), seen)
		spell(b, t.Elem(), seen)
	case reflect.Struct:
		b.WriteString(t.String())
		if seen[t] {
			return
		}
		seen[t] = true
		b.WriteByte('{')
		for i := range t.NumField() {
			f := t.Field(i)
			b.WriteString(f.Name + "`" + string(f.Tag) + "` ")
			spell(b, f.Type, seen)
			b.WriteByte(';')
		}
		b.WriteByte('}')
	default:
		b.WriteString(t.String() + " ")
	}
}
