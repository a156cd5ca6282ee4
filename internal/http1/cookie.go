package http1

import "bytes"

// TakeCookie takes every cookie with the name, which counts by letter case,
// out of the request and hands its value to each. What is left reads as if it
// had never been there. The connection's bytes stay as they are.
func (r *Request) TakeCookie(name string, each func(value []byte)) {
	if !r.Has(Of(Cookie)) {
		return
	}
	kept, left := r.Fields[:0], false
	for _, f := range r.Fields {
		if f.ID == Cookie {
			before := len(f.Value)
			f.Value = takeCookie(f.Value, name, each)
			if len(f.Value) == 0 && before > 0 {
				continue
			}
			left = true
		}
		kept = append(kept, f)
	}
	r.Fields = kept
	if !left {
		r.present &^= Of(Cookie)
	}
}

// takeCookie returns the pairs of a Cookie field without those of name.
func takeCookie(pairs []byte, name string, each func(value []byte)) []byte {
	from, to := cookieAt(pairs, name)
	if from < 0 {
		return pairs
	}
	_, value, _ := bytes.Cut(pairs[from:to], []byte{'='})
	each(trim(value))
	head, tail := trimPairs(pairs[:from]), trimPairs(pairs[to:])
	switch {
	case len(head) == 0:
		return takeCookie(tail, name, each)
	case len(tail) == 0:
		return head
	}
	rest := make([]byte, 0, len(head)+len(tail)+2)
	rest = append(append(rest, head...), "; "...)
	return append(rest, takeCookie(tail, name, each)...)
}

// cookieAt finds the first pair of name, without the semicolons around it.
func cookieAt(pairs []byte, name string) (from, to int) {
	for from < len(pairs) {
		to = len(pairs)
		if i := bytes.IndexByte(pairs[from:], ';'); i >= 0 {
			to = from + i
		}
		if k, _, ok := bytes.Cut(pairs[from:to], []byte{'='}); ok && string(trim(k)) == name {
			return from, to
		}
		from = to + 1
	}
	return -1, -1
}

// trimPairs cuts white space and semicolons off both ends.
func trimPairs(b []byte) []byte { return bytes.Trim(b, "; \t") }
