package store

import (
	"bytes"
	"encoding/binary"
	"iter"
	"net/http"
	"unsafe"

	"walpurge/internal/http1"
	"walpurge/internal/proxycache/depends"
)

// Packed is what an entry holds beside its body, in one piece, since each piece
// of its own costs a header in the entry and what the allocator rounds up:
//
//	key | head as clients get it | its last bytes that are ours, a number | fields that clients don't get
//
// A head is the status line and fields with Content-Length, each with CRLF.
// Nearly all of it is the same as it was stored and as clients get it, so it
// is there once. Without a number behind it the two heads are one.
type Packed struct {
	S    string // all of it
	Key  uint32 // where the key ends
	Sent uint32 // where the head that clients get ends
}

// Pack makes one with nothing but a key.
func Pack(key string) Packed { return Packed{key, uint32(len(key)), uint32(len(key))} }

// raw is a part of the text. Nobody may write to it.
func (t *Packed) raw(from, to uint32) []byte {
	return unsafe.Slice(unsafe.StringData(t.S[from:to]), to-from)
}

// Key is what the entry is stored under.
func (e *Entry) Key() string { return e.Packed.S[:e.Packed.Key] }

// SetKey changes the key. REQUIRES: e isn't published.
func (e *Entry) SetKey(key string) {
	t := &e.Packed
	moved := uint32(len(key)) - t.Key
	*t = Packed{key + t.S[t.Key:], t.Key + moved, t.Sent + moved}
}

// SetHead makes head both heads. REQUIRES: e isn't published.
func (e *Entry) SetHead(head []byte) {
	key := e.Key()
	b := append(append(make([]byte, 0, len(key)+len(head)), key...), head...)
	e.Packed.Seal(b, len(b))
}

// SetDressed makes sent, of which the last bytes are ours, the head that
// clients get, and dropped what the stored head has in their place. REQUIRES:
// e isn't published.
func (e *Entry) SetDressed(sent []byte, ours int, dropped []byte) {
	key := e.Key()
	b := make([]byte, 0, len(key)+len(sent)+2+len(dropped))
	b = append(append(b, key...), sent...)
	end := len(b)
	b = append(binary.AppendUvarint(b, uint64(ours)), dropped...)
	e.Packed.Seal(b, end)
}

// Seal takes b, which nobody else has, for the text from the key on.
func (t *Packed) Seal(b []byte, sent int) {
	t.S, t.Sent = unsafe.String(unsafe.SliceData(b), len(b)), uint32(sent)
}

// Sound tells whether t, which came from elsewhere, is what an entry's text is.
func (t *Packed) Sound() bool {
	if t.Key > t.Sent || int(t.Sent) > len(t.S) || t.Sent-t.Key < 15 || t.S[t.Key:t.Key+9] != "HTTP/1.1 " {
		return false
	}
	rest := t.raw(t.Sent, uint32(len(t.S)))
	if len(rest) == 0 {
		return true
	}
	ours, n := binary.Uvarint(rest)
	return n > 0 && ours <= uint64(t.Sent-t.Key)
}

// Sent is the head as clients get it.
func (e *Entry) Sent() []byte { return e.Packed.raw(e.Packed.Key, e.Packed.Sent) }

// stored is the head as it was stored, in two pieces: the second has fields
// only.
func (e *Entry) stored() (head, more []byte) {
	t := &e.Packed
	rest := t.raw(t.Sent, uint32(len(t.S)))
	if len(rest) == 0 {
		return e.Sent(), nil
	}
	ours, n := binary.Uvarint(rest)
	return t.raw(t.Key, t.Sent-uint32(ours)), rest[n:]
}

// Head is the head as it was stored.
func (e *Entry) Head() []byte {
	head, more := e.stored()
	if len(more) == 0 {
		return head
	}
	return append(append(make([]byte, 0, len(head)+len(more)), head...), more...)
}

// fields iterates over the fields of the stored head.
func (e *Entry) fields() iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		head, more := e.stored()
		for name, value := range http1.HeadFields(head) {
			if !yield(name, value) {
				return
			}
		}
		http1.FieldLines(more)(yield)
	}
}

// Header reads the fields of the stored head back, without Content-Length.
func (e *Entry) Header() http.Header {
	h := make(http.Header)
	for name, value := range e.fields() {
		if string(name) != "Content-Length" {
			h[string(name)] = append(h[string(name)], string(value))
		}
	}
	return h
}

// Field is the first value of a field of the stored head, a part of e's text.
func (e *Entry) Field(name string) string {
	head, more := e.stored()
	_, lines, _ := bytes.Cut(head, http1.CRLF)
	value := http1.FieldIn(lines, name)
	if value == nil {
		value = http1.FieldIn(more, name)
	}
	return borrowed(value)
}

// borrowed is b as a string. Nobody may write to b.
func borrowed(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// Declares tells whether e's head names dependencies of its own.
func (e *Entry) Declares() bool {
	return e.Field("Cache-Groups") != "" || e.Field(depends.FieldName) != ""
}

// ETag is the origin's ETag.
func (e *Entry) ETag() string { return e.Field("Etag") }

// Modified is the response's Last-Modified.
func (e *Entry) Modified() string { return e.Field("Last-Modified") }

// date is the response's Date.
func (e *Entry) date() string { return e.Field("Date") }

// Tag is the ETag that clients get, the origin's or ours, a part of e's text.
func (e *Entry) Tag() string {
	_, lines, _ := bytes.Cut(e.Sent(), http1.CRLF)
	return borrowed(http1.FieldIn(lines, "Etag"))
}
