package rfc9111

import (
	"bytes"
	"strings"

	"walpurge/internal/http1"
)

// The content codings that responses are sent in, worst first: where a client
// takes several alike it gets the last. CodingCount is their number.
const (
	Identity = iota
	InGzip
	InZstd
	InBrotli
	CodingCount
)

// CodingNames are the codings as Content-Encoding spells them.
var CodingNames = [CodingCount]string{nameIdentity, nameGzip, nameZstd, nameBrotli}

const (
	nameIdentity = "identity"
	nameGzip     = "gzip"
	nameZstd     = "zstd"
	nameBrotli   = "br"
)

// PreferredCoding is the coding that a client likes best, Identity where it
// doesn't say (RFC 9110 section 12.5.3). It allocates nothing.
func PreferredCoding(req *http1.Request) int {
	if !req.Has(http1.Of(http1.AcceptEncoding)) {
		return Identity
	}
	var weights [CodingCount]int
	var named [CodingCount]bool
	star := -1
	for i := range req.Fields {
		if req.Fields[i].ID != http1.AcceptEncoding {
			continue
		}
		for rest := req.Fields[i].Value; len(rest) > 0; {
			item := rest
			if at := bytes.IndexByte(rest, ','); at >= 0 {
				item, rest = rest[:at], rest[at+1:]
			} else {
				rest = nil
			}
			name, params, _ := bytes.Cut(item, []byte{';'})
			name = bytes.Trim(name, " \t")
			q, ok := quality(params)
			if !ok {
				continue
			}
			if string(name) == "*" {
				star = q
				continue
			}
			if c := codingOf(name); c >= 0 {
				weights[c], named[c] = max(weights[c], q), true
			}
		}
	}
	best := Identity
	for c := range CodingCount {
		if !named[c] && star >= 0 {
			weights[c] = star
		}
		if weights[c] > 0 && weights[c] >= weights[best] {
			best = c
		}
	}
	return best
}

// codingOf is the coding of that name, -1 for one that isn't told apart.
func codingOf(name []byte) int {
	switch {
	case http1.EqualFold(name, nameGzip), http1.EqualFold(name, "x-gzip"): // RFC 9110 section 8.4.1.3
		return InGzip
	case http1.EqualFold(name, nameBrotli):
		return InBrotli
	case http1.EqualFold(name, nameZstd):
		return InZstd
	case http1.EqualFold(name, nameIdentity):
		return Identity
	}
	return -1
}

// CodedTag is the ETag of a response's form in coding c, where that of the plain
// one is tag: strong tags tell forms apart (RFC 9110 section 8.8.3.3), weak ones
// don't have to.
func CodedTag(tag string, c int) string { return string(AppendCodedTag(nil, tag, c)) }

// AppendCodedTag appends it.
func AppendCodedTag(dst []byte, tag string, c int) []byte {
	if !strings.HasPrefix(tag, `"`) || c == Identity {
		return append(dst, tag...)
	}
	dst = append(append(dst, tag[:len(tag)-1]...), '~')
	return append(append(dst, CodingNames[c]...), '"')
}

// StripCodings takes the names that CodedTag adds out of the tags of a condition
// that goes to the origin, which knows nothing of them.
func StripCodings(v string) string {
	if !strings.Contains(v, "~") {
		return v
	}
	for c := Identity + 1; c < CodingCount; c++ {
		v = strings.ReplaceAll(v, "~"+CodingNames[c]+`"`, `"`)
	}
	return v
}
