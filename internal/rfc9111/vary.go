package rfc9111

import (
	"strings"

	"walpurge/internal/http1"
)

// AppendVariant appends to a key what tells its variants apart: the values of
// the fields that the response's Vary names (RFC 9111 section 4.1), given as
// VaryNames lists them. It allocates only where dst has no room.
func AppendVariant(dst []byte, names []string, req *http1.Request) []byte {
	dst = append(dst, "\nvary"...)
	for _, name := range names {
		dst = append(dst, '\n')
		dst = AppendVaried(dst, name, req, true)
	}
	return dst
}

// AppendVaried appends a field's name, given in lower case, and its normalised
// value; an absent field is told from an empty one. combine makes one list of several
// lines; where the configuration names the field it may be none, and servers
// choose among the lines in their own ways.
func AppendVaried(dst []byte, name string, req *http1.Request, combine bool) []byte {
	dst = append(dst, name...)
	if name == "accept-encoding" {
		if req.Has(http1.Of(http1.AcceptEncoding)) {
			dst = append(dst, '=')
			dst = append(dst, AcceptEncoding(req).String()...)
		}
		return dst
	}
	if name == "accept-language" && combine && req.HasField(name) {
		if with, ok := appendLanguages(dst, req); ok {
			return with
		}
	}
	sep := byte('=')
	for i := range req.Fields {
		f := &req.Fields[i]
		if !http1.EqualFold(f.Name, name) {
			continue
		}
		dst = append(dst, sep)
		if combine {
			sep = ',' // several lines are one list (RFC 9110 section 5.3)
		}
		switch {
		case name == "accept-language":
			dst = appendFolded(dst, f.Value)
		case combine:
			dst = appendList(dst, f.Value)
		default:
			dst = append(dst, f.Value...)
		}
	}
	return dst
}

// appendList appends v without the white space around its commas, which means
// nothing in a list. Inside quotes it stays.
func appendList(dst, v []byte) []byte {
	quoted := false
	for i := 0; i < len(v); i++ {
		c := v[i]
		switch {
		case c == '\\' && quoted && i+1 < len(v):
			dst = append(dst, c)
			i++
			c = v[i]
		case c == '"':
			quoted = !quoted
		case (c == ' ' || c == '\t') && !quoted:
			j := i
			for j < len(v) && (v[j] == ' ' || v[j] == '\t') {
				j++
			}
			if j == len(v) || v[j] == ',' || i > 0 && v[i-1] == ',' {
				i = j - 1
				continue
			}
		}
		dst = append(dst, c)
	}
	return dst
}

// appendFolded appends v in lower case without white space.
func appendFolded(dst, v []byte) []byte {
	for _, c := range v {
		switch {
		case c == ' ' || c == '\t':
		case 'A' <= c && c <= 'Z':
			dst = append(dst, c|0x20)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// SameButLanguage compares what AppendVariant has appended to two keys, without
// the line of Accept-Language.
func SameButLanguage(a, b string) bool {
	const name = "\naccept-language"
	cut := func(s string) (string, string) {
		before, after, _ := strings.Cut(s[strings.LastIndex(s, "\nvary\n"):], name)
		_, after, _ = strings.Cut(after, "\n")
		return before, after
	}
	beforeA, afterA := cut(a)
	beforeB, afterB := cut(b)
	return beforeA == beforeB && afterA == afterB
}
