package http1

import "bytes"

// target checks the form of the request target (RFC 9112 section 3.2) and
// takes the host of an absolute one.
func (r *Request) target() *Refusal {
	switch t := r.Target; {
	case t[0] == '/':
		return nil
	case len(t) == 1 && t[0] == '*':
		if string(r.Method) != "OPTIONS" {
			return errTarget
		}
		return nil
	case string(r.Method) == "CONNECT":
		return nil
	case len(t) > 7 && EqualFold(t[:7], "http://"):
		return r.absolute(t[7:])
	case len(t) > 8 && EqualFold(t[:8], "https://"):
		return r.absolute(t[8:])
	}
	return errTarget
}

func (r *Request) absolute(rest []byte) *Refusal {
	i := bytes.IndexAny(rest, "/?#")
	if i < 0 {
		i = len(rest)
	}
	r.Host = rest[:i]
	if i == 0 || !validHost(r.Host) {
		return errTarget
	}
	r.Target = rest[i:]
	if len(r.Target) == 0 || r.Target[0] != '/' {
		path := append([]byte("/"), r.Target...)
		if len(path) == 1 && string(r.Method) == "OPTIONS" {
			path[0] = '*'
		}
		r.Target = path
	}
	return nil
}

// validHost tells whether h can be a host with an optional port (RFC 9110
// section 7.2). It may be empty.
func validHost(h []byte) bool {
	i := 0
	if len(h) > 0 && h[0] == '[' { // an address with colons
		for i = 1; i < len(h) && (hostByte[h[i]] || h[i] == ':'); i++ {
		}
		if i == 1 || i == len(h) || h[i] != ']' {
			return false
		}
		i++
	} else {
		for i < len(h) && hostByte[h[i]] {
			i++
		}
	}
	if i == len(h) {
		return true
	}
	if h[i] != ':' {
		return false
	}
	for _, c := range h[i+1:] {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// hostByte is what a host's name may have: what RFC 3986 section 3.2.2 allows
// but the comma and the percent sign, and bytes above ASCII, which servers take
// as they are. An encoded name would be one host here and another to who decodes it.
var hostByte = func() (host [256]bool) {
	for c := range 256 {
		host[c] = 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c >= 0x80
	}
	for _, c := range ".-_~!$&'()*+;=" {
		host[c] = true
	}
	return host
}()
