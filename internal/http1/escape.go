package http1

import (
	"bytes"
)

// Unescape decodes percent-encoding, and + as a space in a query.
func Unescape(b []byte, query bool) (string, bool) {
	if bytes.IndexByte(b, '%') < 0 && (!query || bytes.IndexByte(b, '+') < 0) {
		return string(b), true
	}
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		switch {
		case b[i] == '%':
			if i+2 >= len(b) {
				return "", false
			}
			hi, lo := Unhex(b[i+1]), Unhex(b[i+2])
			if hi < 0 || lo < 0 {
				return "", false
			}
			out = append(out, byte(hi<<4|lo))
			i += 2
		case b[i] == '+' && query:
			out = append(out, ' ')
		default:
			out = append(out, b[i])
		}
	}
	return string(out), true
}

// Unhex is the value of a hexadecimal digit, -1 of anything else.
func Unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}
