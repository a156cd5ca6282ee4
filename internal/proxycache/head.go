package proxycache

import (
	"bytes"
	"iter"
	"net/http"
	"slices"
	"strconv"
)

func appendStatus(dst []byte, status int) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, ' ')
	dst = append(dst, http.StatusText(status)...)
	return append(dst, '\r', '\n')
}

// appendFields appends the fields sorted by name, so that equal responses are
// equal bytes.
func appendFields(dst []byte, h http.Header) []byte {
	names := make([]string, 0, len(h))
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, v := range h[name] {
			dst = appendField(dst, name, v)
		}
	}
	return dst
}

func appendField(dst []byte, name, value string) []byte {
	dst = append(append(dst, name...), ": "...)
	dst = append(dst, value...)
	return append(dst, '\r', '\n')
}

// fields iterates over the fields of a stored head.
func fields(head []byte) iter.Seq2[[]byte, []byte] {
	_, rest, _ := bytes.Cut(head, crlf)
	return fieldLines(rest)
}

// fieldLines iterates over fields without a status line before them.
func fieldLines(rest []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for rest := rest; len(rest) > 0; {
			var line []byte
			line, rest, _ = bytes.Cut(rest, crlf)
			name, value, _ := bytes.Cut(line, []byte(": "))
			if !yield(name, value) {
				return
			}
		}
	}
}

var crlf = []byte("\r\n")

// finishHead makes a stored head of the status line and fields in block.
func finishHead(block []byte, status, length int) []byte {
	head := make([]byte, 0, len(block)+28)
	head = append(head, block...)
	if status != http.StatusNoContent {
		head = append(head, "Content-Length: "...)
		head = strconv.AppendInt(head, int64(length), 10)
		head = append(head, '\r', '\n')
	}
	return head
}
