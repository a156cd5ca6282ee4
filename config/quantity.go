package config

import (
	"errors"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes, never negative.
type Size int64

// Sizes in powers of 1024.
const (
	KiB Size = 1 << 10
	MiB Size = 1 << 20
	GiB Size = 1 << 30
	TiB Size = 1 << 40
)

var sizeUnits = map[string]Size{
	"": 1, "b": 1,
	"kib": KiB, "mib": MiB, "gib": GiB, "tib": TiB,
	"kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
}

var sizeForm = regexp.MustCompile(`^([0-9]+)(?:\.([0-9]{1,9}))?\s*([A-Za-z]*)$`)

var (
	errSize      = errors.New("is not a size; write a number and a unit, such as 256MiB")
	errSizeRange = errors.New("is more than a size can hold; the largest is 8388607TiB")
	errDuration  = errors.New("is not a duration; write numbers with units, such as 500ms, 30s, 1h30m or 7d")
	errUnit      = errors.New("has no unit; write 500ms, 30s, 5m, 1h or 7d")
)

// ParseSize reads a number of bytes: a decimal number and one of B, KiB, MiB, GiB, TiB (powers of 1024) or kB, MB, GB,
// TB (powers of 1000), in any case. A fraction of a byte is cut off. The error is a phrase that follows the value.
func ParseSize(s string) (Size, error) {
	m := sizeForm.FindStringSubmatch(s)
	if m == nil {
		return 0, errSize
	}
	unit, known := sizeUnits[strings.ToLower(m[3])]
	if !known {
		return 0, errSize
	}
	whole, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil || whole > math.MaxInt64/int64(unit) {
		return 0, errSizeRange
	}
	size := whole * int64(unit)
	if m[2] != "" {
		fraction, err := strconv.ParseFloat("0."+m[2], 64)
		if err != nil {
			return 0, errSize
		}
		part := int64(fraction * float64(unit)) // below 1 TiB, so exact in a float64 to the byte
		if size > math.MaxInt64-part {
			return 0, errSizeRange
		}
		size += part
	}
	return Size(size), nil
}

// String is the size in the largest unit that gives a whole number, so that ParseSize returns the same size.
func (s Size) String() string {
	for _, u := range []struct {
		unit Size
		name string
	}{{TiB, "TiB"}, {GiB, "GiB"}, {MiB, "MiB"}, {KiB, "KiB"}} {
		if s != 0 && s%u.unit == 0 {
			return strconv.FormatInt(int64(s/u.unit), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}

var daysForm = regexp.MustCompile(`^([0-9]+)d(.*)$`)

const day = 24 * time.Hour

// ParseDuration reads a duration of zero or more: what [time.ParseDuration] reads, with days (d, 24 hours) before it.
// The error is a phrase that follows the value.
func ParseDuration(s string) (time.Duration, error) {
	if s == "0" {
		return 0, nil
	}
	if _, err := strconv.ParseFloat(s, 64); err == nil {
		return 0, errUnit
	}
	var days time.Duration
	if m := daysForm.FindStringSubmatch(s); m != nil {
		n, err := strconv.ParseInt(m[1], 10, 64)
		if err != nil || n > int64(math.MaxInt64/day) {
			return 0, errDuration
		}
		if days, s = time.Duration(n)*day, m[2]; s == "" {
			return days, nil
		}
	}
	rest, err := time.ParseDuration(s)
	if err != nil || rest < 0 || strings.HasPrefix(s, "+") || rest > math.MaxInt64-days {
		return 0, errDuration
	}
	return days + rest, nil
}
