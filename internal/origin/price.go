package origin

import (
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"
)

// Price is an amount in hundredths. The column is numeric(12,2), so a price
// lies between 0 and MaxPrice and a float never touches it.
type Price int64

// MaxPrice is the largest amount that numeric(12,2) holds: 9,999,999,999.99.
const MaxPrice Price = 999_999_999_999

var errPriceSyntax = errors.New("must be a plain decimal number from 0 to 9999999999.99 with at most two decimals")

// ParsePrice reads "1200", "1200.5" or "1200.50". Signs, exponents, spaces
// and a third decimal are errors.
func ParsePrice(s string) (Price, error) {
	whole, fraction, dotted := strings.Cut(s, ".")
	if !allDigits(whole) || dotted && !allDigits(fraction) || len(fraction) > 2 || len(whole) > 10 {
		return 0, errPriceSyntax
	}
	cents, err := strconv.ParseInt(whole+(fraction + "00")[:2], 10, 64)
	if err != nil {
		return 0, errPriceSyntax
	}
	return Price(cents), nil
}

// String gives the amount with two decimals: "1200.50".
func (p Price) String() string {
	return fmt.Sprintf("%d.%02d", int64(p)/100, int64(p)%100)
}

// Grouped is String with a comma between thousands, for people.
func (p Price) Grouped() string {
	whole := strconv.FormatInt(int64(p)/100, 10)
	var b strings.Builder
	for i, digit := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(digit)
	}
	if cents := int64(p) % 100; cents != 0 {
		fmt.Fprintf(&b, ".%02d", cents)
	}
	return b.String()
}

// MarshalJSON writes a JSON number that keeps its two decimals.
func (p Price) MarshalJSON() ([]byte, error) {
	return []byte(p.String()), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (p *Price) UnmarshalJSON(literal []byte) (err error) {
	*p, err = ParsePrice(string(literal))
	return err
}

// NumericValue implements pgtype.NumericValuer.
func (p Price) NumericValue() (pgtype.Numeric, error) {
	return pgtype.Numeric{Int: big.NewInt(int64(p)), Exp: -2, Valid: true}, nil
}

// ScanNumeric implements pgtype.NumericScanner. The column's own scale is 2,
// but PostgreSQL leaves out trailing groups of zeros on the wire, so any
// exponent may arrive.
func (p *Price) ScanNumeric(v pgtype.Numeric) error {
	if !v.Valid || v.NaN || v.InfinityModifier != pgtype.Finite || v.Int == nil {
		return errors.New("scan price: not a finite number")
	}
	cents := new(big.Int).Set(v.Int)
	ten := big.NewInt(10)
	for e := v.Exp; e > -2; e-- {
		cents.Mul(cents, ten)
	}
	for e := v.Exp; e < -2; e++ {
		var rest big.Int
		cents.QuoRem(cents, ten, &rest)
		if rest.Sign() != 0 {
			return errors.New("scan price: more than two decimals")
		}
	}
	if !cents.IsInt64() {
		return errors.New("scan price: out of range")
	}
	*p = Price(cents.Int64())
	return nil
}

func allDigits(s string) bool {
	if s == "" {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
