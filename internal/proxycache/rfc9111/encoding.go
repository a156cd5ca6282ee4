package rfc9111

import (
	"bytes"

	"walpurge/internal/proxycache/http1"
)

// Codings is the set of content codings that a client takes, of those that
// are told apart. What it leaves out is not offered to the origin either, so
// that all clients with the same set can share a response.
type Codings uint8

const (
	gzip Codings = 1 << iota
	brotli
	zstd
)

// codingSets are the sets as Accept-Encoding spells them. A client that takes
// none of them has sent the field to say so.
var codingSets = [...]string{"identity", "gzip", "br", "gzip, br", "zstd", "gzip, zstd", "br, zstd", "gzip, br, zstd"}

// String is the set as Accept-Encoding spells it.
func (c Codings) String() string { return codingSets[c] }

// AcceptEncoding reads Accept-Encoding (RFC 9110 section 12.5.3). A coding
// with weight 0 isn't taken; * takes all that aren't named.
func AcceptEncoding(req *http1.Request) Codings {
	var took, named Codings
	star := false
	for i := range req.Fields {
		if req.Fields[i].ID != http1.AcceptEncoding {
			continue
		}
		for item := range bytes.SplitSeq(req.Fields[i].Value, []byte{','}) {
			name, params, _ := bytes.Cut(item, []byte{';'})
			c := coding(bytes.TrimSpace(name))
			switch {
			case c == 0:
				continue
			case c == anyCoding:
				star = !zeroWeight(params)
				continue
			}
			named |= c
			if !zeroWeight(params) {
				took |= c
			}
		}
	}
	if star {
		took |= (gzip | brotli | zstd) &^ named
	}
	return took
}

const anyCoding Codings = 1 << 7

func coding(name []byte) Codings {
	switch {
	case http1.EqualFold(name, "gzip"), http1.EqualFold(name, "x-gzip"):
		return gzip
	case http1.EqualFold(name, "br"):
		return brotli
	case http1.EqualFold(name, "zstd"):
		return zstd
	case string(name) == "*":
		return anyCoding
	}
	return 0
}

// zeroWeight tells whether params say q=0.
func zeroWeight(params []byte) bool {
	q, v, ok := bytes.Cut(bytes.TrimSpace(params), []byte{'='})
	if !ok || !http1.EqualFold(bytes.TrimSpace(q), "q") {
		return false
	}
	v = bytes.TrimSpace(v)
	return len(v) > 0 && len(bytes.Trim(v, "0.")) == 0
}
