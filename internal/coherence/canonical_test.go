package coherence

import (
	"bytes"
	"math/big"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestCanonicalFormsOfEqualSpellingsAgree(t *testing.T) {
	for _, c := range []struct {
		kind  Kind
		equal string // spellings of one value, separated by |
	}{
		{Integer, "42|042|+42"},
		{Integer, "-1|-01"},
		{Integer, "0|-0|+0|00"},
		{Numeric, "1.5|1.50|01.5|+1.5|1.500000"},
		{Numeric, "0|0.00|-0|.0|0."},
		{Numeric, "-12.30|-12.3"},
		{Numeric, ".05|0.050"},
		{UUID, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11|A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11|{a0eebc999c0b4ef8bb6d6bb9bd380a11}|a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11"},
		{Int2, "-32768|-032768"},
		{Int4, "2147483647|+2147483647"},
		{OID, "4294967295|04294967295"},
		{Enum, "sold"},
		{Boolean, "t|true|TRUE|1|on|yes|y"},
		{Boolean, "f|false|0|OFF|no|n"},
		{Timestamp, "2024-02-29 13:00:00|2024-02-29T13:00|2024-02-29 13:00:00.000"},
		{TimestampTZ, "2024-02-29 13:00:00+00|2024-02-29T14:00:00+01:00|2024-02-29T13:00:00Z|2024-02-29 18:30:00+0530"},
		{PaddedText, "ab|ab  |ab "},
		{FoldedText, "Lagos|LAGOS|lagos"},
	} {
		var first []byte
		for i, s := range strings.Split(c.equal, "|") {
			form, ok := c.kind.canonical(nil, []byte(s))
			if !ok {
				t.Errorf("%s %q: undecided", c.kind, s)
			}
			if i == 0 {
				first = form
			} else if !bytes.Equal(first, form) {
				t.Errorf("%s %q: form %x, want %x as for %q", c.kind, s, form, first, c.equal)
			}
		}
	}
}

func TestValuesWithoutAnExactRuleAreUndecided(t *testing.T) {
	for _, c := range []struct {
		kind   Kind
		values string
	}{
		{Integer, "|x|1.0|1e3|0x2A|4_2| 42|42 |9223372036854775808|-9223372036854775809|99999999999999999999|-|--1"},
		{Numeric, "|.|NaN|Infinity|1e3|1,5|1.2.3|$1|-"},
		{UUID, "|a0eebc99|zz eebc99-9c0b-4ef8-bb6d-6bb9bd380a11|a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1|a0-eebc999c0b4ef8bb6d6bb9bd380a11|a0eebc99--9c0b4ef8bb6d6bb9bd380a11|-a0eebc999c0b4ef8bb6d6bb9bd380a11|a0eebc999c0b4ef8bb6d6bb9bd380a11-|{a0eebc999c0b4ef8bb6d6bb9bd380a11|{{a0eebc999c0b4ef8bb6d6bb9bd380a11}}"},
		{Int2, "32768|-32769"},
		{Int4, "2147483648|-2147483649"},
		{OID, "-1|4294967296"},
		{Boolean, "|2|ja|truetrue|ÿ"},
		{Date, "|infinity|today|29.02.2024|2024-02-30|2024-2-1|0044-03-15 BC|20240229|0000-01-01"},
		{Timestamp, "2024-02-29|infinity|2024-02-29 13:00:00+00|2024-02-29 13:00:00.1234567|now|2024-02-29 13:00:00,5|0000-01-01 00:00:00"},
		{TimestampTZ, "2024-02-29|2024-02-29 13:00:00|2024-02-29 13:00:00 Europe/Berlin|2024-02-29 13:00:00,5Z|2024-02-29 13:00:00+16|2024-02-29 13:00:00-16:00|2024-02-29 13:00:00+00:60|2024-02-29 13:00:00+0060"},
		{FoldedText, "São Paulo|\u212a"},
		{Opaque, "1|x"},
	} {
		for s := range strings.SplitSeq(c.values, "|") {
			if form, ok := c.kind.canonical(nil, []byte(s)); ok {
				t.Errorf("%s %q: form %x, want undecided", c.kind, s, form)
			}
		}
	}
}

func TestNumericFormsSortAsNumbersDo(t *testing.T) {
	number := rapid.StringMatching(`[-+]?[0-9]{1,6}(\.[0-9]{0,6})?`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := number.Draw(t, "a"), number.Draw(t, "b")
		ra, _ := new(big.Rat).SetString(strings.TrimSuffix(a, "."))
		rb, _ := new(big.Rat).SetString(strings.TrimSuffix(b, "."))
		fa, oka := Numeric.canonical(nil, []byte(a))
		fb, okb := Numeric.canonical(nil, []byte(b))
		if !oka || !okb {
			t.Fatalf("%q or %q is undecided", a, b)
		}
		if got, want := bytes.Compare(fa, fb), ra.Cmp(rb); got != want {
			t.Fatalf("compare %q with %q: %d, want %d", a, b, got, want)
		}
	})
}

func TestIntegerAndTimeFormsSortAsValuesDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Int64().Draw(t, "a"), rapid.Int64().Draw(t, "b")
		fa, _ := Integer.canonical(nil, big.NewInt(a).Append(nil, 10))
		fb, _ := Integer.canonical(nil, big.NewInt(b).Append(nil, 10))
		if got, want := bytes.Compare(fa, fb), big.NewInt(a).Cmp(big.NewInt(b)); got != want {
			t.Fatalf("compare %d with %d: %d, want %d", a, b, got, want)
		}
		micros := rapid.Int64Range(-62135596800e6+1, 253402300799e6)
		ta, tb := time.UnixMicro(micros.Draw(t, "ta")).UTC(), time.UnixMicro(micros.Draw(t, "tb")).UTC()
		fa, oka := TimestampTZ.canonical(nil, ta.AppendFormat(nil, "2006-01-02 15:04:05.999999-07"))
		fb, okb := TimestampTZ.canonical(nil, tb.AppendFormat(nil, "2006-01-02 15:04:05.999999-07"))
		if !oka || !okb || bytes.Compare(fa, fb) != ta.Compare(tb) {
			t.Fatalf("compare %v with %v: wrong", ta, tb)
		}
	})
}

// FuzzCanonical: no input panics, and a form never depends on what stands in
// the buffer before it.
func FuzzCanonical(f *testing.F) {
	for _, s := range []string{"", "-0.00", "1e5", "2024-02-29 13:00:00+00", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "São", "\x00\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for k := Opaque; k <= Enum; k++ {
			form, ok := k.canonical(nil, []byte(s))
			again, ok2 := k.canonical([]byte("prefix"), []byte(s))
			if ok != ok2 || ok && string(again) != "prefix"+string(form) {
				t.Fatalf("%s %q: %x, %v, then %x, %v", k, s, form, ok, again, ok2)
			}
		}
	})
}
