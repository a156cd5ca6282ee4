package http1

// CleanPath tells whether every server reads the path as we do. One with an
// encoded slash, a dot segment, an empty segment, a control character or a
// bad escape matches no route.
func CleanPath(path []byte) bool {
	if len(path) == 0 || path[0] != '/' {
		return false
	}
	start := 1 // of the segment
	dots := true
	for i := 1; i <= len(path); i++ {
		if i == len(path) || path[i] == '/' {
			n := i - start
			if n == 0 && i < len(path) || n > 0 && dots && n <= 6 && dotSegment(path[start:i]) {
				return false
			}
			start, dots = i+1, true
			continue
		}
		c := path[i]
		switch {
		case c == '%':
			if i+2 >= len(path) {
				return false
			}
			hi, lo := Unhex(path[i+1]), Unhex(path[i+2])
			if hi < 0 || lo < 0 {
				return false
			}
			if d := byte(hi<<4 | lo); d == '/' || d == '\\' || d < ' ' || d == 0x7f || d == '%' {
				return false
			} else if d != '.' {
				dots = false
			}
			i += 2
		case c == '\\' || c == '#' || c < '!' || c == 0x7f:
			return false
		case c != '.':
			dots = false
		}
	}
	return true
}

func dotSegment(s []byte) bool {
	text, _ := Unescape(s, false)
	return text == "." || text == ".."
}

// SplitTarget cuts a request target at its query.
func SplitTarget(req *Request) (path, query []byte, hasQuery bool) {
	t := req.Target
	for i, c := range t {
		if c == '?' {
			return t[:i], t[i+1:], true
		}
	}
	return t, nil, false
}
