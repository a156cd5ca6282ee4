package rfc9111

import (
	"bytes"
	"cmp"
	"strings"

	"walpurge/internal/http1"
)

// Codings is the set of content codings that a client takes, of those that
// are told apart. What it leaves out is not offered to the origin either, so
// that all clients with the same set can share a response.
type Codings uint8

// only is the set of one coding, Identity's is empty: it needs no saying.
func only(c int) Codings { return 1 << c >> 1 }

const allCodings Codings = 1<<(CodingCount-1) - 1

// codingSets are the sets as Accept-Encoding spells them.
var codingSets = spellCodings()

// spellCodings spells every set. A client that takes none has sent the field to
// say so. The order is part of the keys of stored variants.
func spellCodings() (sets [allCodings + 1]string) {
	for set := range sets {
		var names []string
		for _, c := range [...]int{InGzip, InBrotli, InZstd} {
			if Codings(set)&only(c) != 0 {
				names = append(names, CodingNames[c])
			}
		}
		sets[set] = cmp.Or(strings.Join(names, ", "), CodingNames[Identity])
	}
	return sets
}

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
			name = bytes.TrimSpace(name)
			if string(name) == "*" {
				star = !zeroWeight(params)
				continue
			}
			if c := codingOf(name); c > Identity {
				named |= only(c)
				if !zeroWeight(params) {
					took |= only(c)
				}
			}
		}
	}
	if star {
		took |= allCodings &^ named
	}
	return took
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
