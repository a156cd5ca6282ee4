package config

import (
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestSizeReadsWhatItPrints(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		unit := rapid.SampledFrom([]Size{1, KiB, MiB, GiB, TiB, 1000}).Draw(t, "unit")
		size := Size(rapid.Int64Range(0, math.MaxInt64/int64(unit)).Draw(t, "count")) * unit
		got, err := ParseSize(size.String())
		if err != nil || got != size {
			t.Fatalf("%d prints as %s, which reads as %d, %v", size, size, got, err)
		}
	})
}

func TestSizeIsCountTimesUnit(t *testing.T) {
	units := map[string]int64{"": 1, "B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
	names := make([]string, 0, len(units))
	for name := range units {
		names = append(names, name)
	}
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(names).Draw(t, "unit")
		count := rapid.Int64Range(0, math.MaxInt64).Draw(t, "count")
		spelled := strconv.FormatInt(count, 10) + rapid.SampledFrom([]string{"", " "}).Draw(t, "space") +
			rapid.SampledFrom([]func(string) string{strings.ToUpper, strings.ToLower, strings.TrimSpace}).Draw(t, "case")(name)
		got, err := ParseSize(strings.TrimSpace(spelled))
		if fits := count <= math.MaxInt64/units[name]; fits != (err == nil) || fits && int64(got) != count*units[name] {
			t.Fatalf("%q reads as %d, %v", spelled, got, err)
		}
	})
}

func TestSizeNeverReadsAsNegative(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[-+]?[0-9]{0,20}(\.[0-9]{0,10})?[kmgtKMGT]?i?[bB]?`).Draw(t, "text")
		if size, err := ParseSize(text); err == nil && size < 0 {
			t.Fatalf("%q reads as %d", text, size)
		}
	})
}

func TestSizeFractions(t *testing.T) {
	for text, want := range map[string]Size{"1.5KiB": 1536, "0.5MiB": 512 * KiB, "0.001kB": 1, "0.9B": 0, "2.000000001GiB": 2*GiB + 1} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%s reads as %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "KiB", "1.", ".5KiB", "1KB1", "1 2", "-1", "1PiB", "1.0000000001KiB", "1e3", "0x10"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q reads as %d", text, got)
		}
	}
}

func TestDurationReadsWhatItPrints(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := time.Duration(rapid.Int64Range(0, math.MaxInt64).Draw(t, "duration"))
		if got, err := ParseDuration(want.String()); err != nil || got != want {
			t.Fatalf("%s reads as %s, %v", want, got, err)
		}
	})
}

func TestDurationCountsDays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		days := rapid.Int64Range(0, 200_000).Draw(t, "days")
		rest := time.Duration(rapid.Int64Range(0, math.MaxInt64).Draw(t, "rest"))
		got, err := ParseDuration(strconv.FormatInt(days, 10) + "d" + rest.String())
		fits := days <= int64(math.MaxInt64/day) && rest <= math.MaxInt64-time.Duration(days)*day
		if fits != (err == nil) || fits && got != time.Duration(days)*day+rest {
			t.Fatalf("%dd%s reads as %s, %v", days, rest, got, err)
		}
	})
}

func TestDurationsThatAreNone(t *testing.T) {
	for text, want := range map[string]error{
		"5": errUnit, "1.5": errUnit, "-5": errUnit, "": errDuration, "d": errDuration, "-1s": errDuration, "+1s": errDuration,
		"1d-1s": errDuration, "1s1d": errDuration, "1w": errDuration, "99999999999999d": errDuration, "1.5d": errDuration,
	} {
		if got, err := ParseDuration(text); err != want {
			t.Errorf("%q reads as %s, %v; want %v", text, got, err, want)
		}
	}
}
