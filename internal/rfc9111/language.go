package rfc9111

import (
	"bytes"

	"walpurge/internal/http1"
)

// language is one element of Accept-Language (RFC 9110 section 12.5.4).
type language struct {
	tag     []byte
	quality int // in thousandths
}

// maxLanguages bounds what is put in order; a longer list is taken as it is.
const maxLanguages = 16

// languages reads Accept-Language, the most wanted first. The order of
// elements with the same quality has no meaning; they are sorted by tag. ok is
// false for what isn't such a list.
func languages(req *http1.Request, into *[maxLanguages]language) (n int, ok bool) {
	for i := range req.Fields {
		f := &req.Fields[i]
		if !http1.EqualFold(f.Name, "accept-language") {
			continue
		}
		for item := range bytes.SplitSeq(f.Value, []byte{','}) {
			tag, params, _ := bytes.Cut(item, []byte{';'})
			if tag = bytes.Trim(tag, " \t"); len(tag) == 0 {
				continue
			}
			q, valid := quality(params)
			if !valid || n == maxLanguages || !http1.IsToken(tag) {
				return 0, false
			}
			at := n
			for at > 0 && (into[at-1].quality < q || into[at-1].quality == q && lessFold(tag, into[at-1].tag)) {
				into[at] = into[at-1]
				at--
			}
			into[at] = language{tag, q}
			n++
		}
	}
	return n, true
}

// quality reads a weight in thousandths (RFC 9110 section 12.4.2).
func quality(params []byte) (q int, ok bool) {
	if params = bytes.Trim(params, " \t"); len(params) == 0 {
		return 1000, true
	}
	name, v, _ := bytes.Cut(params, []byte{'='})
	if !http1.EqualFold(name, "q") || len(v) == 0 || len(v) > 5 || v[0] != '0' && v[0] != '1' || len(v) > 1 && v[1] != '.' {
		return 0, false
	}
	q = int(v[0]-'0') * 1000
	unit := 100
	for _, c := range v[min(2, len(v)):] {
		if c < '0' || c > '9' {
			return 0, false
		}
		q += int(c-'0') * unit
		unit /= 10
	}
	return q, q <= 1000
}

func lessFold(a, b []byte) bool {
	for i := range min(len(a), len(b)) {
		if x, y := fold(a[i]), fold(b[i]); x != y {
			return x < y
		}
	}
	return len(a) < len(b)
}

func fold(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c |= 0x20
	}
	return c
}

// appendLanguages appends a normal form of Accept-Language: the same for
// requests that want the same. It returns false for what isn't such a list.
func appendLanguages(dst []byte, req *http1.Request) ([]byte, bool) {
	var list [maxLanguages]language
	n, ok := languages(req, &list)
	if !ok {
		return dst, false
	}
	sep := byte('=')
	for i := range list[:n] {
		dst = append(dst, sep)
		dst = appendFolded(dst, list[i].tag)
		if q := list[i].quality; q != 1000 {
			dst = append(dst, ';', byte('0'+q/100), byte('0'+q/10%10), byte('0'+q%10))
		}
		sep = ','
	}
	if n == 0 {
		dst = append(dst, sep)
	}
	return dst, true
}

// WantedLanguage is the tag of the language that the request wants before all
// others; ok is false if there is none.
func WantedLanguage(req *http1.Request) (tag string, ok bool) {
	var list [maxLanguages]language
	n, ok := languages(req, &list)
	if !ok || n == 0 || list[0].quality == 0 || n > 1 && list[1].quality == list[0].quality || string(list[0].tag) == "*" {
		return "", false
	}
	return string(list[0].tag), true
}
