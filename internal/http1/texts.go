package http1

import (
	"bytes"
)

// Texts lists the values of a known field.
func Texts(req *Request, id ID) []string {
	if !req.Has(Of(id)) {
		return nil
	}
	var all []string
	for i := range req.Fields {
		if req.Fields[i].ID == id {
			all = append(all, string(req.Fields[i].Value))
		}
	}
	return all
}

// FieldOf finds a field that few look at.
func FieldOf(ex *Exchange, name string) []byte {
	for i := range ex.Fields {
		if EqualFold(ex.Fields[i].Name, name) {
			return ex.Fields[i].Value
		}
	}
	return nil
}

// FindCookie finds a cookie. n is how often its name appears, and more than one
// where it does in another letter case.
func FindCookie(req *Request, name string) (value []byte, n int) {
	if !req.Has(Of(Cookie)) {
		return nil, 0
	}
	for i := range req.Fields {
		if req.Fields[i].ID != Cookie {
			continue
		}
		for part := range bytes.SplitSeq(req.Fields[i].Value, []byte{';'}) {
			k, v, _ := bytes.Cut(bytes.TrimSpace(part), []byte{'='})
			switch k = bytes.TrimSpace(k); {
			case string(k) == name:
				if n++; n == 1 {
					value = bytes.TrimSpace(v)
				}
			case bytes.EqualFold(k, []byte(name)):
				n += 2
			}
		}
	}
	return value, n
}
