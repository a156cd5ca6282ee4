package route

import (
	"bytes"
	"slices"

	"walpurge/internal/expr"
	"walpurge/internal/http1"
	"walpurge/internal/proxycache/depends"
	"walpurge/internal/rfc9111"
)

// AppendKey builds the key of a request: scheme, host and target as the
// origin gets them, then what else the route keys on, a line each. dst grows.
// target is where the target lies in the result.
func AppendKey(dst []byte, https bool, req *http1.Request, forwardedHost []byte, rt *Route, path, query []byte, hasQuery bool) (key []byte, target depends.Span) {
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
	target.From = len(dst)
	dst = append(dst, path...)
	dst = AppendQuery(dst, rt, query, hasQuery)
	target.To = len(dst)
	if len(forwardedHost) > 0 {
		dst = append(append(dst, "\nx-forwarded-host="...), forwardedHost...)
	}
	if rt != nil {
		for _, k := range rt.Keys {
			dst = appendKeyed(dst, k, req)
		}
	}
	return dst, target
}

func appendKeyed(dst []byte, k Key, req *http1.Request) []byte {
	dst = append(dst, '\n')
	if k.Source == expr.Cookie {
		dst = append(append(dst, "cookie."...), k.Name...)
		v, n := http1.FindCookie(req, k.Name)
		if n > 1 {
			// Which of them the origin takes, and whether it looks at the letter
			// case, is its own affair: all of them count.
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
	return rfc9111.AppendVaried(dst, k.Name, req, false)
}

// AppendQuery appends the query as the origin gets it.
func AppendQuery(dst []byte, rt *Route, query []byte, hasQuery bool) []byte {
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
		decoded, ok := http1.Unescape(name, true)
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
