package http1

import (
	"bytes"
	"iter"
	"net/http"
	"slices"
	"strconv"
)

// AppendStatus appends the status line of a response.
func AppendStatus(dst []byte, status int) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, ' ')
	dst = append(dst, http.StatusText(status)...)
	return append(dst, '\r', '\n')
}

// AppendFields appends the fields sorted by name, so that equal responses are
// equal bytes.
func AppendFields(dst []byte, h http.Header) []byte {
	names := make([]string, 0, len(h))
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, v := range h[name] {
			dst = AppendField(dst, name, v)
		}
	}
	return dst
}

// AppendField appends a field and its line's end.
func AppendField(dst []byte, name, value string) []byte {
	dst = append(append(dst, name...), ": "...)
	dst = append(dst, value...)
	return append(dst, '\r', '\n')
}

// HeadFields iterates over the fields of a stored head.
func HeadFields(head []byte) iter.Seq2[[]byte, []byte] {
	_, rest, _ := bytes.Cut(head, CRLF)
	return FieldLines(rest)
}

// FieldLines iterates over fields without a status line before them.
func FieldLines(rest []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for rest := rest; len(rest) > 0; {
			var name, value []byte
			if name, value, rest = NextField(rest); !yield(name, value) {
				return
			}
		}
	}
}

// NextField takes the first field from lines, each with CRLF. Unlike FieldLines
// it allocates nothing.
func NextField(lines []byte) (name, value, rest []byte) {
	line, rest, _ := bytes.Cut(lines, CRLF)
	i := bytes.IndexByte(line, ':')
	if i < 0 || i+2 > len(line) {
		return line, nil, rest
	}
	return line[:i], line[i+2:], rest
}

// FieldIn is the first value of a field among lines; nil: it isn't there.
func FieldIn(lines []byte, name string) []byte {
	for len(lines) > 0 {
		var n, value []byte
		if n, value, lines = NextField(lines); string(n) == name {
			return value
		}
	}
	return nil
}

// CRLF ends a line. Nobody may write to it.
var CRLF = []byte("\r\n")

// FinishHead makes a stored head of the status line and fields in block.
func FinishHead(block []byte, status, length int) []byte {
	head := make([]byte, 0, len(block)+28)
	head = append(head, block...)
	if status != http.StatusNoContent {
		head = append(head, "Content-Length: "...)
		head = strconv.AppendInt(head, int64(length), 10)
		head = append(head, '\r', '\n')
	}
	return head
}
