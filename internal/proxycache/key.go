package proxycache

import (
	"bytes"
	"slices"

	"walpurge/internal/proxycache/http1"
)

// appendKey builds the key of a request: scheme, host and target as the
// origin gets them, then what else the route keys on, a line each. dst grows.
// target is where the target lies in the result.
func appendKey(dst []byte, https bool, req *http1.Request, forwardedHost []byte, rt *route, path, query []byte, hasQuery bool) (key []byte, target span) {
	scheme, port := "http://", ":80"
	if https {
		scheme, port = "https://", ":443"
	}
	dst = append(dst, scheme...)
	host := req.Host
	if n := len(host) - len(port); n > 0 && string(host[n:]) == port {
		host = host[:n]
	}
	for _, c := range host {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		dst = append(dst, c)
	}
	target.from = len(dst)
	dst = append(dst, path...)
	dst = appendQuery(dst, rt, query, hasQuery)
	target.to = len(dst)
	if len(forwardedHost) > 0 {
		dst = append(append(dst, "\nx-forwarded-host="...), forwardedHost...)
	}
	if rt != nil {
		for _, k := range rt.keys {
			dst = appendKeyed(dst, k, req)
		}
	}
	return dst, target
}

func appendKeyed(dst []byte, k Key, req *http1.Request) []byte {
	dst = append(dst, '\n')
	if k.Source == Cookie {
		dst = append(append(dst, "cookie."...), k.Name...)
		v, n := cookie(req, k.Name)
		if n > 1 {
			// Which of them the origin takes is its own affair: all of them count.
			for i := range req.Fields {
				if req.Fields[i].ID == http1.Cookie {
					dst = append(append(dst, '='), req.Fields[i].Value...)
				}
			}
			return dst
		}
		if n == 1 {
			dst = append(append(dst, '='), v...)
		}
		return dst
	}
	return appendVaried(dst, k.Name, req, false)
}

// appendQuery appends the query as the origin gets it.
func appendQuery(dst []byte, rt *route, query []byte, hasQuery bool) []byte {
	if !hasQuery {
		return dst
	}
	if rt == nil || !rt.Query.Only && !rt.Query.Sort && len(rt.Query.Names) == 0 {
		return append(append(dst, '?'), query...)
	}
	if rt.Query.Only || rt.Query.Sort {
		return appendSorted(dst, &rt.Query, query)
	}
	sep := byte('?')
	for part := range bytes.SplitSeq(query, []byte{'&'}) {
		if len(part) > 0 && !named(part, rt.Query.Names) {
			dst = append(append(dst, sep), part...)
			sep = '&'
		}
	}
	return dst
}

// appendSorted appends the parameters that count, sorted by name; those of one
// name keep their order.
func appendSorted(dst []byte, rule *QueryRule, query []byte) []byte {
	var few [16][]byte
	kept := few[:0]
	for part := range bytes.SplitSeq(query, []byte{'&'}) {
		if len(part) > 0 && named(part, rule.Names) == rule.Only {
			kept = append(kept, part)
		}
	}
	slices.SortStableFunc(kept, func(a, b []byte) int { return bytes.Compare(paramName(a), paramName(b)) })
	sep := byte('?')
	for _, part := range kept {
		dst = append(append(dst, sep), part...)
		sep = '&'
	}
	return dst
}

func named(part []byte, names []string) bool {
	name := paramName(part)
	if bytes.IndexByte(name, '%') >= 0 || bytes.IndexByte(name, '+') >= 0 {
		decoded, ok := unescape(name, true)
		return ok && slices.Contains(names, decoded)
	}
	for _, n := range names {
		if string(name) == n {
			return true
		}
	}
	return false
}

func paramName(part []byte) []byte {
	name, _, _ := bytes.Cut(part, []byte{'='})
	return name
}

// appendVariant appends what tells the variants of one key apart: the values
// of the fields that the response's Vary names (RFC 9111 section 4.1).
func appendVariant(dst []byte, names []string, req *http1.Request) []byte {
	dst = append(dst, "\nvary"...)
	for _, name := range names {
		dst = append(dst, '\n')
		dst = appendVaried(dst, name, req, true)
	}
	return dst
}

// appendVaried appends a field's name in lower case and its normalised value;
// an absent field is told from an empty one. combine makes one list of several
// lines; where the configuration names the field it may be none, and servers
// choose among the lines in their own ways.
func appendVaried(dst []byte, name string, req *http1.Request, combine bool) []byte {
	dst = append(dst, name...)
	if name == "accept-encoding" {
		if req.Has(http1.Of(http1.AcceptEncoding)) {
			dst = append(dst, '=')
			dst = append(dst, acceptEncoding(req).String()...)
		}
		return dst
	}
	if name == "accept-language" && combine && has(req, name) {
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

// has tells whether the request has a field, given in lower case.
func has(req *http1.Request, name string) bool {
	for i := range req.Fields {
		if http1.EqualFold(req.Fields[i].Name, name) {
			return true
		}
	}
	return false
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
