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
			var name, value []byte
			if name, value, rest = nextField(rest); !yield(name, value) {
				return
			}
		}
	}
}

// nextField takes the first field from lines, each with CRLF. Unlike fieldLines
// it allocates nothing.
func nextField(lines []byte) (name, value, rest []byte) {
	line, rest, _ := bytes.Cut(lines, crlf)
	i := bytes.IndexByte(line, ':')
	if i < 0 || i+2 > len(line) {
		return line, nil, rest
	}
	return line[:i], line[i+2:], rest
}

// fieldIn is the first value of a field among lines; nil: it isn't there.
func fieldIn(lines []byte, name string) []byte {
	for len(lines) > 0 {
		var n, value []byte
		if n, value, lines = nextField(lines); string(n) == name {
			return value
		}
	}
	return nil
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
