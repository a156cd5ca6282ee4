package store

import (
	"net/http"

	"walpurge/internal/http1"
	"walpurge/internal/rfc9111"
)

// PartSuffix makes the key of a key's part. There is one, the newest, and only
// of responses without dependencies that don't vary.
const PartSuffix = "\npart"

// Extent is where in the representation e's body begins, and how long that is.
func (e *Entry) Extent() (from, size int64) {
	if p := e.Part(); p != nil {
		return p.From, p.Size
	}
	return 0, int64(len(e.Body))
}

// Strong tells whether the part can be combined with others (RFC 9111 section
// 3.4).
func (e *Entry) Strong() bool {
	if e.Part() == nil || !e.Part().Strict {
		return false
	}
	tag := e.ETag()
	return tag != "" && !rfc9111.IsWeak(tag)
}

// Continued tells whether a 206 with these fields is what follows e.
func (e *Entry) Continued(h http.Header) bool {
	r, size, ok := rfc9111.ContentRange(h)
	return ok && r.From == e.Part().To && r.To == size && size == e.Part().Size && h.Get("Etag") == e.ETag()
}

// Combined is what e and a newer part make together: one part, or the whole.
// It returns nil where they can't be combined. Fields are the newer's, and e's
// where that has none.
func (e *Entry) Combined(newer *Entry) *Entry {
	if e == nil || !e.Strong() || !newer.Strong() || e.ETag() != newer.ETag() || e.Part().Size != newer.Part().Size ||
		e.Part().To < newer.Part().From || newer.Part().To < e.Part().From {
		return nil
	}
	from, to := min(e.Part().From, newer.Part().From), max(e.Part().To, newer.Part().To)
	body := make([]byte, to-from)
	copy(body[e.Part().From-from:], e.Body)
	copy(body[newer.Part().From-from:], newer.Body)
	h := e.Header()
	rfc9111.Update(h, newer.Header())
	n := Shell(newer)
	n.Body = body
	size := e.Part().Size
	if from == 0 && to == size {
		n.SetPart(nil)
		n.Status = http.StatusOK
		n.SetHead(http1.FinishHead(http1.AppendFields(http1.AppendStatus(nil, http.StatusOK), h), http.StatusOK, len(body)))
		return n
	}
	n.SetPart(&rfc9111.Part{Range: rfc9111.Range{From: from, To: to}, Size: size, Strict: true})
	n.SetHead(http1.AppendFields(http1.AppendStatus(nil, http.StatusPartialContent), h))
	return n
}

// Shell is a copy of an entry without dependencies, without its bytes.
func Shell(e *Entry) *Entry {
	n := &Entry{
		Memory: e.Memory, Route: e.Route, Shared: e.Shared, Lenient: e.Lenient, Status: e.Status,
		Received: e.Received, Age: e.Age, Fresh: e.Fresh, StaleWhileRevalidate: e.StaleWhileRevalidate, StaleIfError: e.StaleIfError,
	}
	n.SetKey(e.Key())
	n.SetExtras(e.Groups(), e.Targeted(), e.asked())
	n.SetPart(e.Part())
	return n
}
