package proxycache

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"

	"walpurge/internal/http1"
	"walpurge/internal/proxycache/route"
	"walpurge/internal/rfc9111"
)

// form is a stored response as clients get it, in one content coding.
type form struct {
	head, body []byte
}

// coded are the forms of an entry in codings other than its own, made when a
// client takes them. That without a coding is the entry itself.
type coded struct {
	by    [rfc9111.CodingCount]atomic.Pointer[form]
	begun atomic.Uint32 // the codings that were tried, a bit each
	left  atomic.Int64  // bytes that they may still take
}

// minCoded is the smallest body that is worth a coding: less fits in a packet.
const minCoded = 1 << 10

// shown is how an entry's head as clients get it was made. With the same
// settings it need not be made again.
type shown struct {
	revalidate bool // the client is to ask each time
	compress   bool // codings were allowed
	vary       bool // so the coding is negotiated
}

// shown is how e's head was made, with codings or without.
func (e *entry) shown(compress bool) shown {
	return shown{e.route.Revalidate(), compress, e.coded != nil}
}

// adopt makes e ready to be sent if its text, which came from elsewhere, is as
// finish would make it. REQUIRES: e isn't published.
func (m *memory) adopt(e *entry, by shown) bool {
	if by.revalidate != e.route.Revalidate() || by.compress != m.compress {
		return false
	}
	e.negotiated(by.vary)
	return true
}

// finish makes e ready to be sent. REQUIRES: e isn't published.
func (m *memory) finish(e *entry) {
	head := e.head()
	l := m.look(e.route, head, int64(len(e.body)))
	if l.revalidate && e.status == http.StatusOK && e.etag() == "" {
		sum := sha256.Sum256(e.body)
		l.tag = `"` + hex.EncodeToString(sum[:16]) + `"`
	}
	if l != (look{}) {
		e.setDressed(l.dress(head))
	}
	e.negotiated(l.vary)
}

// negotiated makes room in e for its other codings, and for when a row changes.
func (e *entry) negotiated(vary bool) {
	if vary {
		e.coded = new(coded)
		e.coded.left.Store(e.codedRoom())
	}
	if e.guarded && e.changedFor() > 0 && e.apart == nil {
		e.apart = new(apart) // for when a row changes
	}
}

// codedRoom is what e's coded bodies may take together. Its weight has it from
// the start.
func (e *entry) codedRoom() int64 {
	if e.coded == nil {
		return 0
	}
	return int64(len(e.body) / 2)
}

// plain is e's form without a coding.
func (e *entry) plain() form { return form{e.sent(), e.body} }

// form is what a client gets of e.
func (e *entry) form(req *http1.Request) form {
	if e.coded == nil {
		return e.plain()
	}
	c := rfc9111.PreferredCoding(req)
	if c == rfc9111.Identity {
		return e.plain()
	}
	if f := e.coded.by[c].Load(); f != nil {
		return *f
	}
	return e.encoded(c)
}

// encoded makes e's form in coding c. Who comes while another makes it gets
// identity, and so does everybody if it isn't worth it.
func (e *entry) encoded(c int) form {
	plain, made := e.plain(), e.coded
	for {
		begun := made.begun.Load()
		if begun&(1<<c) != 0 {
			return plain
		}
		if made.begun.CompareAndSwap(begun, begun|1<<c) {
			break
		}
	}
	body := encode(c, e.body)
	size := int64(len(body))
	if size > int64(len(e.body))*9/10 || made.left.Add(-size) < 0 {
		made.left.Add(size)
		return plain
	}
	f := &form{codedHead(plain.head, c, rfc9111.CodedTag(e.tag(), c), len(body)), bytes.Clone(body)}
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

// look is how a response shows itself to clients.
type look struct {
	revalidate bool   // the client is to ask each time
	vary       bool   // the coding is negotiated
	tag        string // an ETag of ours
}

// look decides how a response with that stored head and a body of that length,
// -1 if that isn't known, shows itself.
func (m *memory) look(rt *route.Route, head []byte, length int64) look {
	l := look{revalidate: rt.Revalidate()}
	if m.compress && (length < 0 || length >= minCoded) {
		l.vary = codable(head)
	}
	return l
}

// dress changes a stored head to what clients get. The last bytes of that are
// ours, and dropped are the fields that it lacks.
func (l look) dress(head []byte) (sent []byte, ours int, dropped []byte) {
	if l == (look{}) {
		return head, 0, nil
	}
	status, _, _ := bytes.Cut(head, http1.CRLF)
	b := append(append(make([]byte, 0, len(head)+96), status...), http1.CRLF...)
	noTransform, varies := false, false
	for name, value := range http1.HeadFields(head) {
		drop := false
		switch string(name) {
		case "Cache-Control":
			noTransform = noTransform || forbidsTransform(value)
			drop = l.revalidate
		case "Expires", "Pragma":
			drop = l.revalidate
		case "Etag":
			drop = l.tag != "" // an empty one
		case "Vary":
			for _, f := range rfc9111.FieldNames(string(value)) {
				varies = varies || f == "Accept-Encoding" || f == "*"
			}
		}
		to := &b
		if drop {
			to = &dropped
		}
		*to = append(append(append(append(*to, name...), ": "...), value...), http1.CRLF...)
	}
	common := len(b)
	if l.revalidate {
		value := "no-cache"
		if noTransform {
			value = "no-cache, no-transform"
		}
		b = http1.AppendField(b, "Cache-Control", value)
	}
	if l.vary && !varies {
		b = http1.AppendField(b, "Vary", "Accept-Encoding")
	}
	if l.tag != "" {
		b = http1.AppendField(b, "Etag", l.tag)
	}
	return b, len(b) - common, dropped
}

func forbidsTransform(cacheControl []byte) bool {
	return bytes.Contains(bytes.ToLower(cacheControl), []byte("no-transform"))
}

// codable tells whether a response with that head may be sent in another
// coding: its type compresses well, it has none, and nothing forbids it or
// speaks of its very bytes.
func codable(head []byte) bool {
	fits := false
	for name, value := range http1.HeadFields(head) {
		switch string(name) {
		case "Content-Type":
			fits = compressible(string(value))
		case "Content-Encoding", "Content-Range", "Content-Digest", "Content-Md5", "Digest":
			return false
		case "Cache-Control":
			if forbidsTransform(value) {
				return false
			}
		}
	}
	return fits
}

// compressible tells whether a media type is text in some form.
func compressible(contentType string) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false
	}
	switch kind {
	case "application/json", "application/javascript", "application/x-javascript", "application/xml", "application/wasm",
		"application/x-ndjson", "application/graphql", "application/rtf", "image/x-icon", "image/vnd.microsoft.icon", "image/bmp", "font/ttf", "font/otf",
		"application/vnd.ms-fontobject", "application/x-font-ttf":
		return true
	case "text/event-stream":
		return false
	}
	return strings.HasPrefix(kind, "text/") || strings.HasSuffix(kind, "+json") || strings.HasSuffix(kind, "+xml") || strings.HasSuffix(kind, "+text")
}
