package coherence

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"strings"
)

// bounded is a range condition in canonical form, both ends inclusive.
type bounded struct {
	ends   string // the lower and the upper one, one behind the other; of an open one nothing
	split  uint32 // where the upper one begins
	column uint16
	kind   Kind // of the column
	open   openEnds
}

// openEnds says which ends of a range are open.
type openEnds uint8

const (
	openBelow openEnds = 1 << iota
	openAbove
)

func (b *bounded) from() string { return b.ends[:b.split] }
func (b *bounded) to() string   { return b.ends[b.split:] }

// holds tells whether a value's canonical form lies inside.
func (b *bounded) holds(form []byte) bool {
	return (b.open&openBelow != 0 || string(form) >= b.from()) && (b.open&openAbove != 0 || string(form) <= b.to())
}

// bind makes a range of a request's values. Of a repeated end the widest
// counts. It reports false when no end is left.
func bind(table *Table, column int, r Bounds) (bounded, bool) {
	kind := table.Columns[column].Kind
	if !kind.Ordered() {
		return bounded{}, false
	}
	var buf [2][64]byte
	end := func(op Operand, wider int, best []byte) []byte {
		if !op.Present {
			return nil
		}
		for i, v := range op.Values {
			var other [64]byte
			form, ok := kind.canonical(other[:0], []byte(v))
			if !ok {
				return nil
			}
			if i == 0 || bytes.Compare(form, best) == wider {
				best = append(best[:0], form...)
			}
		}
		return best
	}
	from, to := end(r.From, -1, buf[0][:0]), end(r.To, 1, buf[1][:0])
	var ends [128]byte
	b := bounded{ends: string(append(append(ends[:0], from...), to...)), split: uint32(len(from)), column: uint16(column), kind: kind}
	if len(from) == 0 { // '' isn't greater than any text
		b.open |= openBelow
	}
	if len(to) == 0 { // '' is taken for none, which over-matches
		b.open |= openAbove
	}
	return b, len(b.ends) > 0
}

// compareFrom orders ranges by their lower ends, the open one first.
func compareFrom(a, b *bounded) int { return strings.Compare(a.from(), b.from()) } // no form sorts before ""

// compareTo orders ranges by their upper ends, the open one last.
func compareTo(a, b *bounded) int {
	if (a.open|b.open)&openAbove != 0 {
		return cmp.Compare(a.open&openAbove, b.open&openAbove)
	}
	return strings.Compare(a.to(), b.to())
}

// prefix maps canonical forms of a kind to numbers that sort as they do, save
// that several forms may have one number. Most comparisons need no more, and
// no look at the form.
func prefix[form string | []byte](k Kind, f form) uint64 {
	if k == Numeric {
		return numericPrefix(f)
	}
	var b [8]byte
	copy(b[:], f)
	return binary.BigEndian.Uint64(b[:])
}

// What the prefix of a number consists of: its sign, its exponent as far as
// PostgreSQL's numbers have one (at most 131072 digits before the point), and
// eleven digits.
const (
	exponentBits = 18
	prefixDigits = 11
)

func numericPrefix[form string | []byte](f form) uint64 {
	switch {
	case len(f) == 0: // an open end
		return 0
	case len(f) == 1:
		return 2 << 62
	}
	var flip byte
	if f[0] == 0x01 { // negative: the rest is complemented
		flip = 0xff
	}
	at := func(i int) byte { return f[i] ^ flip }
	exponent := int64(at(1))<<24 | int64(at(2))<<16 | int64(at(3))<<8 | int64(at(4))
	exponent -= 1<<31 - 1<<(exponentBits-1)
	p := uint64(min(max(exponent, 0), 1<<exponentBits-1))
	for i := range prefixDigits {
		p <<= 4
		if 5+i < len(f)-1 { // the last byte ends the digits
			p |= uint64(at(5+i)-'0') + 1
		}
	}
	if flip != 0 {
		return 1<<62 | ^p&(1<<62-1)
	}
	return 3<<62 | p
}

// mostSelective puts the range first by which a response is found: one with
// two ends, else the first that is declared.
func mostSelective(ranges []bounded) {
	for i := range ranges {
		if ranges[i].open == 0 {
			ranges[0], ranges[i] = ranges[i], ranges[0]
			return
		}
	}
}

// interval is a range with its ends' prefixes.
type interval struct {
	from, to uint64
	*bounded
}

func (b *bounded) interval() interval {
	i := interval{from: prefix(b.kind, b.from()), to: ^uint64(0), bounded: b}
	if b.open&openAbove == 0 {
		i.to = prefix(b.kind, b.to())
	}
	return i
}

// compare orders ranges by their lower ends, then by their upper ends.
func (i *interval) compare(j *interval) int {
	if i.from != j.from {
		return cmp.Compare(i.from, j.from)
	}
	if c := compareFrom(i.bounded, j.bounded); c != 0 {
		return c
	}
	return i.compareTo(j)
}

func (i *interval) compareTo(j *interval) int {
	if i.to != j.to {
		return cmp.Compare(i.to, j.to)
	}
	return compareTo(i.bounded, j.bounded)
}
