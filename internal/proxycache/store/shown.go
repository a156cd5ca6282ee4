package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"mime"
	"net/http"
	"strings"

	"walpurge/internal/http1"
	"walpurge/internal/proxycache/route"
	"walpurge/internal/rfc9111"
)

// Shown is how an entry's head as clients get it was made. With the same
// settings it need not be made again.
type Shown struct {
	Revalidate bool // the client is to ask each time
	Compress   bool // codings were allowed
	Vary       bool // so the coding is negotiated
}

// Shown is how e's head was made, with codings or without.
func (e *Entry) Shown(compress bool) Shown {
	return Shown{e.Route.Revalidate(), compress, e.coded != nil}
}

// Adopt makes e ready to be sent if its text, which came from elsewhere, is as
// finish would make it. REQUIRES: e isn't published.
func (m *Memory) Adopt(e *Entry, by Shown) bool {
	if by.Revalidate != e.Route.Revalidate() || by.Compress != m.Compress {
		return false
	}
	e.Negotiated(by.Vary)
	return true
}

// Finish makes e ready to be sent. REQUIRES: e isn't published.
func (m *Memory) Finish(e *Entry) {
	head := e.Head()
	l := m.Dressing(e.Route, head, int64(len(e.Body)))
	if l.Revalidate && e.Status == http.StatusOK && e.ETag() == "" {
		sum := sha256.Sum256(e.Body)
		l.Tag = `"` + hex.EncodeToString(sum[:16]) + `"`
	}
	if l != (Dressing{}) {
		e.SetDressed(l.Dress(head))
	}
	e.Negotiated(l.Vary)
}

// Negotiated makes room in e for its other codings, and for when a row changes.
func (e *Entry) Negotiated(vary bool) {
	if vary {
		e.coded = new(coded)
		e.coded.left.Store(e.CodedRoom())
	}
	if e.Guarded && e.ChangedFor() > 0 && e.Extras == nil {
		e.Extras = new(Extras) // for when a row changes
	}
}

// Dressing is how a response shows itself to clients.
type Dressing struct {
	Revalidate bool   // the client is to ask each time
	Vary       bool   // the coding is negotiated
	Tag        string // an ETag of ours
}

// Dressing decides how a response with that stored head and a body of that length,
// -1 if that isn't known, shows itself.
func (m *Memory) Dressing(rt *route.Route, head []byte, length int64) Dressing {
	l := Dressing{Revalidate: rt.Revalidate()}
	if m.Compress && (length < 0 || length >= MinCoded) {
		l.Vary = codable(head)
	}
	return l
}

// Dress changes a stored head to what clients get. The last bytes of that are
// ours, and dropped are the fields that it lacks.
func (l Dressing) Dress(head []byte) (sent []byte, ours int, dropped []byte) {
	if l == (Dressing{}) {
		return head, 0, nil
	}
	status, _, _ := bytes.Cut(head, http1.CRLF)
	b := append(append(make([]byte, 0, len(head)+96), status...), http1.CRLF...)
	noTransform, varies := false, false
	for name, value := range http1.HeadFields(head) {
		drop := false
		switch string(name) {
		case "Cache-Control":
			noTransform = noTransform || ForbidsTransform(value)
			drop = l.Revalidate
		case "Expires", "Pragma":
			drop = l.Revalidate
		case "Etag":
			drop = l.Tag != "" // an empty one
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
	if l.Revalidate {
		value := "no-cache"
		if noTransform {
			value = "no-cache, no-transform"
		}
		b = http1.AppendField(b, "Cache-Control", value)
	}
	if l.Vary && !varies {
		b = http1.AppendField(b, "Vary", "Accept-Encoding")
	}
	if l.Tag != "" {
		b = http1.AppendField(b, "Etag", l.Tag)
	}
	return b, len(b) - common, dropped
}

// ForbidsTransform tells whether a Cache-Control says no-transform.
func ForbidsTransform(cacheControl []byte) bool {
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
			if ForbidsTransform(value) {
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
