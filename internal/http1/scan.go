package http1

import "bytes"

// headScan finds the end of a head in a buffer that grows.
type headScan struct {
	at    int // all before is scanned; a line starts here or earlier
	line  int // where the current line starts
	begun bool
}

// find returns the length of the head with its last CRLF, 0 when it isn't
// whole yet. skip is how many bytes of empty lines precede it (RFC 9112
// section 2.2).
func (s *headScan) find(b []byte) (n, skip int, err *Refusal) {
	for {
		i := bytes.IndexByte(b[s.at:], '\n')
		if i < 0 {
			s.at = len(b)
			return 0, 0, nil
		}
		i += s.at
		if i == 0 || b[i-1] != '\r' {
			return 0, 0, errBareLF
		}
		empty := i-1 == s.line
		s.at, s.line = i+1, i+1
		switch {
		case !empty:
			s.begun = true
		case s.begun:
			return i + 1, 0, nil
		default:
			*s = headScan{}
			return 0, i + 1, nil
		}
	}
}
