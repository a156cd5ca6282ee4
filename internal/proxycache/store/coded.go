package store

import (
	"bytes"
	"strconv"
	"sync/atomic"

	"walpurge/internal/http1"
	"walpurge/internal/rfc9111"
)

// form is a stored response as clients get it, in one content coding.
type form struct {
	Head, Body []byte
}

// coded are the forms of an entry in codings other than its own, made when a
// client takes them. That without a coding is the entry itself.
type coded struct {
	by    [rfc9111.CodingCount]atomic.Pointer[form]
	begun atomic.Uint32 // the codings that were tried, a bit each
	left  atomic.Int64  // bytes that they may still take
}

// MinCoded is the smallest body that is worth a coding: less fits in a packet.
const MinCoded = 1 << 10

// CodedRoom is what e's coded bodies may take together. Its weight has it from
// the start.
func (e *Entry) CodedRoom() int64 {
	if e.coded == nil {
		return 0
	}
	return int64(len(e.Body) / 2)
}

// Plain is e's form without a coding.
func (e *Entry) Plain() form { return form{e.Sent(), e.Body} }

// Form is what a client gets of e.
func (e *Entry) Form(req *http1.Request) form {
	if e.coded == nil {
		return e.Plain()
	}
	c := rfc9111.PreferredCoding(req)
	if c == rfc9111.Identity {
		return e.Plain()
	}
	if f := e.coded.by[c].Load(); f != nil {
		return *f
	}
	return e.encoded(c)
}

// Made is e's form in coding c, if it was made.
func (e *Entry) Made(c int) *form { return e.coded.by[c].Load() }

// Negotiates tells whether e's coding is negotiated with each client.
func (e *Entry) Negotiates() bool { return e.coded != nil }

// encoded makes e's form in coding c. Who comes while another makes it gets
// identity, and so does everybody if it isn't worth it.
func (e *Entry) encoded(c int) form {
	plain, made := e.Plain(), e.coded
	for {
		begun := made.begun.Load()
		if begun&(1<<c) != 0 {
			return plain
		}
		if made.begun.CompareAndSwap(begun, begun|1<<c) {
			break
		}
	}
	body := Encode(c, e.Body)
	size := int64(len(body))
	if size > int64(len(e.Body))*9/10 || made.left.Add(-size) < 0 {
		made.left.Add(size)
		return plain
	}
	f := &form{codedHead(plain.Head, c, rfc9111.CodedTag(e.Tag(), c), len(body)), bytes.Clone(body)}
	made.by[c].Store(f)
	return *f
}

// codedHead is the head of a coded form.
func codedHead(head []byte, c int, tag string, length int) []byte {
	status, _, _ := bytes.Cut(head, http1.CRLF)
	b := append(append(make([]byte, 0, len(head)+64), status...), http1.CRLF...)
	for name, value := range http1.HeadFields(head) {
		switch string(name) {
		case "Content-Length", "Accept-Ranges":
			continue
		case "Etag":
			value = []byte(tag)
		}
		b = append(append(append(append(b, name...), ": "...), value...), http1.CRLF...)
	}
	b = http1.AppendField(b, "Content-Encoding", rfc9111.CodingNames[c])
	return http1.AppendField(b, "Content-Length", strconv.Itoa(length))
}
