package store

import (
	"crypto/rand"
	"net/http"
	"strconv"

	"walpurge/internal/http1"
	"walpurge/internal/rfc9111"
)

// WantedRanges are the ranges of e, of that size, that are to be sent. ok is
// false when the whole is.
func WantedRanges(req *http1.Request, e *Entry, size int64) (ranges []rfc9111.Range, ok bool) {
	if e.Status != http.StatusOK && e.Part() == nil {
		return nil, false
	}
	if req.Has(http1.Of(http1.IfRange)) && !rfc9111.IfRange(string(req.Get(http1.IfRange)), e.Tag(), e.Modified(), e.date()) {
		return nil, false
	}
	return rfc9111.Ranges(req.Get(http1.Range), size)
}

// AppendRanges appends the head of the answer with those ranges of e, and
// makes its body: one range as it is, several as multipart/byteranges (RFC
// 9110 section 15.3.7). offset is where in the representation the stored body
// begins, shown its head as clients get it.
func AppendRanges(dst []byte, e *Entry, shown []byte, ranges []rfc9111.Range, offset, size int64) (head, body []byte) {
	switch len(ranges) {
	case 0:
		return append416(dst, shown, size), nil
	case 1:
		r := ranges[0]
		dst = http1.AppendStatus(dst, http.StatusPartialContent)
		dst = appendAllBut(dst, shown, "Content-Length", "")
		dst = append(appendContentRange(dst, r, size), "Content-Length: "...)
		dst = strconv.AppendInt(dst, r.To-r.From, 10)
		return append(dst, http1.CRLF...), e.Body[r.From-offset : r.To-offset]
	}
	boundary := rand.Text()
	kind := e.Field("Content-Type")
	for _, r := range ranges {
		body = append(append(append(body, "\r\n--"...), boundary...), http1.CRLF...)
		if kind != "" {
			body = http1.AppendField(body, "Content-Type", kind)
		}
		body = append(appendContentRange(body, r, size), http1.CRLF...)
		body = append(body, e.Body[r.From-offset:r.To-offset]...)
	}
	body = append(append(append(body, "\r\n--"...), boundary...), "--\r\n"...)
	dst = http1.AppendStatus(dst, http.StatusPartialContent)
	dst = appendAllBut(dst, shown, "Content-Length", "Content-Type")
	dst = http1.AppendField(dst, "Content-Type", "multipart/byteranges; boundary="+boundary)
	dst = append(dst, "Content-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(body)), 10)
	return append(dst, http1.CRLF...), body
}

func appendContentRange(dst []byte, r rfc9111.Range, size int64) []byte {
	dst = append(dst, "Content-Range: bytes "...)
	dst = strconv.AppendInt(dst, r.From, 10)
	dst = append(dst, '-')
	dst = strconv.AppendInt(dst, r.To-1, 10)
	dst = append(dst, '/')
	dst = strconv.AppendInt(dst, size, 10)
	return append(dst, http1.CRLF...)
}

// append416 appends the head of the answer to ranges beyond the end.
func append416(dst, shown []byte, size int64) []byte {
	dst = http1.AppendStatus(dst, http.StatusRequestedRangeNotSatisfiable)
	for name, value := range http1.HeadFields(shown) {
		switch string(name) {
		case "Date", "Via", "Vary":
			dst = append(append(dst, name...), ": "...)
			dst = append(append(dst, value...), http1.CRLF...)
		}
	}
	dst = append(dst, "Content-Range: bytes */"...)
	dst = strconv.AppendInt(dst, size, 10)
	return append(dst, "\r\nContent-Length: 0\r\n"...)
}

// appendAllBut appends the fields of a stored head but two.
func appendAllBut(dst, head []byte, one, two string) []byte {
	for name, value := range http1.HeadFields(head) {
		if string(name) != one && string(name) != two {
			dst = append(append(dst, name...), ": "...)
			dst = append(append(dst, value...), http1.CRLF...)
		}
	}
	return dst
}
