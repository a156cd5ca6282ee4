package proxycache

import (
	"bytes"
	"encoding/binary"
	"iter"
	"net/http"
	"unsafe"

	"walpurge/internal/http1"
	"walpurge/internal/proxycache/depends"
)

// text is what an entry holds beside its body, in one piece, since each piece
// of its own costs a header in the entry and what the allocator rounds up:
//
//	key | head as clients get it | its last bytes that are ours, a number | fields that clients don't get
//
// A head is the status line and fields with Content-Length, each with CRLF.
// Nearly all of it is the same as it was stored and as clients get it, so it
// is there once. Without a number behind it the two heads are one.
type text struct {
	s    string
	key  uint32 // where the key ends
	sent uint32 // where the head that clients get ends
}

// newText is a text with nothing but a key.
func newText(key string) text { return text{key, uint32(len(key)), uint32(len(key))} }

// raw is a part of the text. Nobody may write to it.
func (t *text) raw(from, to uint32) []byte {
	return unsafe.Slice(unsafe.StringData(t.s[from:to]), to-from)
}

// key is what the entry is stored under.
func (e *entry) key() string { return e.text.s[:e.text.key] }

// setKey changes the key. REQUIRES: e isn't published.
func (e *entry) setKey(key string) {
	t := &e.text
	moved := uint32(len(key)) - t.key
	*t = text{key + t.s[t.key:], t.key + moved, t.sent + moved}
}

// setHead makes head both heads. REQUIRES: e isn't published.
func (e *entry) setHead(head []byte) {
	key := e.key()
	b := append(append(make([]byte, 0, len(key)+len(head)), key...), head...)
	e.text.seal(b, len(b))
}

// setDressed makes sent, of which the last bytes are ours, the head that
// clients get, and dropped what the stored head has in their place. REQUIRES:
// e isn't published.
func (e *entry) setDressed(sent []byte, ours int, dropped []byte) {
	key := e.key()
	b := make([]byte, 0, len(key)+len(sent)+2+len(dropped))
	b = append(append(b, key...), sent...)
	end := len(b)
	b = append(binary.AppendUvarint(b, uint64(ours)), dropped...)
	e.text.seal(b, end)
}

// seal takes b, which nobody else has, for the text from the key on.
func (t *text) seal(b []byte, sent int) {
	t.s, t.sent = unsafe.String(unsafe.SliceData(b), len(b)), uint32(sent)
}

// sound tells whether t, which came from elsewhere, is what an entry's text is.
func (t *text) sound() bool {
	if t.key > t.sent || int(t.sent) > len(t.s) || t.sent-t.key < 15 || t.s[t.key:t.key+9] != "HTTP/1.1 " {
		return false
	}
	rest := t.raw(t.sent, uint32(len(t.s)))
	if len(rest) == 0 {
		return true
	}
	ours, n := binary.Uvarint(rest)
	return n > 0 && ours <= uint64(t.sent-t.key)
}

// sent is the head as clients get it.
func (e *entry) sent() []byte { return e.text.raw(e.text.key, e.text.sent) }

// stored is the head as it was stored, in two pieces: the second has fields
// only.
func (e *entry) stored() (head, more []byte) {
	t := &e.text
	rest := t.raw(t.sent, uint32(len(t.s)))
	if len(rest) == 0 {
		return e.sent(), nil
	}
	ours, n := binary.Uvarint(rest)
	return t.raw(t.key, t.sent-uint32(ours)), rest[n:]
}

// head is the head as it was stored.
func (e *entry) head() []byte {
	head, more := e.stored()
	if len(more) == 0 {
		return head
	}
	return append(append(make([]byte, 0, len(head)+len(more)), head...), more...)
}

// fields iterates over the fields of the stored head.
func (e *entry) fields() iter.Seq2[[]byte, []byte] {
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

// header reads the fields of the stored head back, without Content-Length.
func (e *entry) header() http.Header {
	h := make(http.Header)
	for name, value := range e.fields() {
		if string(name) != "Content-Length" {
			h[string(name)] = append(h[string(name)], string(value))
		}
	}
	return h
}

// field is the first value of a field of the stored head, a part of e's text.
func (e *entry) field(name string) string {
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

// declares tells whether e's head names dependencies of its own.
func (e *entry) declares() bool {
	return e.field("Cache-Groups") != "" || e.field(depends.FieldName) != ""
}

// etag is the origin's ETag.
func (e *entry) etag() string { return e.field("Etag") }

// modified is the response's Last-Modified.
func (e *entry) modified() string { return e.field("Last-Modified") }

// date is the response's Date.
func (e *entry) date() string { return e.field("Date") }

// tag is the ETag that clients get, the origin's or ours, a part of e's text.
func (e *entry) tag() string {
	_, lines, _ := bytes.Cut(e.sent(), http1.CRLF)
	return borrowed(http1.FieldIn(lines, "Etag"))
}
