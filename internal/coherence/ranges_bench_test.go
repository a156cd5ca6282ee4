package coherence

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"
)

// rangedSite is responses that depend on ranges of the prices of one city.
type rangedSite struct {
	g       *Guard
	tx      *Transaction
	holders []benchHolder
	random  *rand.Rand
	lsn     LSN
}

// rangedPrices is how far the prices reach. Those at the end lie in no range but the ones that a benchmark adds.
const rangedPrices = 1_000_000_000

func newRangedSite(b *testing.B, n int) *rangedSite {
	g, tx := benchGuard(b)
	s := &rangedSite{g: g, tx: tx, holders: make([]benchHolder, n), random: rand.New(rand.NewPCG(1, 2)), lsn: 10}
	for i := range s.holders {
		from := s.random.IntN(rangedPrices)
		s.open(&s.holders[i], from, from+s.random.IntN(10*rangedPrices/n))
	}
	return s
}

func (s *rangedSite) deps(from, to int) []Dependency {
	end := func(v int) Operand { return Operand{true, []string{strconv.Itoa(v)}} }
	return s.g.Bind(&benchList, []Operand{{true, []string{"Lagos"}}, {}}, []Bounds{{end(from), end(to)}})
}

func (s *rangedSite) open(h *benchHolder, from, to int) {
	h.handle = Handle{}
	s.g.Open(&h.handle, h, s.deps(from, to))
	s.g.Admit(&h.handle, h)
}

// apply applies a transaction that updates one row and keeps its price.
func (s *rangedSite) apply(row []Value) {
	s.tx.Begin(uint32(s.lsn), s.lsn, time.Time{})
	s.tx.Append(0, Update, row, row, ColumnSet(1<<3))
	s.tx.Commit(s.lsn + 5)
	s.lsn += 10
	s.g.Apply(s.tx)
	s.g.Settle(Snapshot{XMax: uint64(s.lsn) + 1})
}

// BenchmarkRanges is what a row change costs beside n responses that depend on ranges of one tag, where it lies in none
// of them and where it lies in ten; and what it costs to open and to close such a response. Each is measured beside 100
// and beside more, in turns; the ratios are the medians of the turns.
func BenchmarkRanges(b *testing.B) {
	const few, turns = 100, 11
	ways := []struct {
		name string
		per  int // operations that are measured at one time
		run  func(s *rangedSite, per int) time.Duration
	}{
		{"change, in none", 2000, func(s *rangedSite, per int) time.Duration {
			rows := make([][]Value, per)
			for i := range rows {
				rows[i] = benchRow(1, "Lagos", "house", s.gap())
			}
			began := time.Now()
			for _, row := range rows {
				s.apply(row)
			}
			return time.Since(began)
		}},
		{"change, in ten", 200, func(s *rangedSite, per int) (took time.Duration) {
			var ten [10]benchHolder
			for range per {
				at := s.gap()
				for i := range ten {
					s.open(&ten[i], at-i, at+10-i)
				}
				row := benchRow(1, "Lagos", "house", at)
				before := s.g.Handles()
				began := time.Now()
				s.apply(row)
				took += time.Since(began)
				if gone := before - s.g.Handles(); gone != len(ten) {
					panic(fmt.Sprint(gone, " of 10 were purged"))
				}
			}
			return took
		}},
		{"open and close", 2000, func(s *rangedSite, per int) time.Duration {
			all := make([][]Dependency, per)
			for i := range all {
				from := s.random.IntN(rangedPrices)
				all[i] = s.deps(from, from+1000)
			}
			var h benchHolder
			began := time.Now()
			for _, deps := range all {
				s.g.Open(&h.handle, &h, deps)
				s.g.Admit(&h.handle, &h)
				s.g.Close(&h.handle)
			}
			return time.Since(began)
		}},
	}
	for _, n := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprintf("%d beside %d", n, few), func(b *testing.B) {
			small, large := newRangedSite(b, few), newRangedSite(b, n)
			for b.Loop() {
				for _, w := range ways {
					var ratios, times []float64
					for range turns {
						base, more := w.run(small, w.per), w.run(large, w.per)
						ratios = append(ratios, float64(more)/float64(base))
						times = append(times, float64(more.Nanoseconds())/float64(w.per))
					}
					slices.Sort(ratios)
					slices.Sort(times)
					b.Logf("%s: %.0f ns, ratio %.2f (%.2f to %.2f)", w.name, times[turns/2], ratios[turns/2], ratios[0], ratios[turns-1])
				}
			}
		})
	}
}

// gap is a price that lies in no range.
func (s *rangedSite) gap() int {
	for {
		at := s.random.IntN(rangedPrices)
		s.tx.Begin(1, s.lsn, time.Time{})
		s.tx.Append(0, Insert, nil, benchRow(1, "Lagos", "house", at), AnyColumn)
		r := &s.g.scratch.new
		r.reset(&s.g.Tables()[0], s.tx, s.tx.Changes[0].new)
		free := true
		for _, shape := range s.g.shapes[0] {
			sum, v := r.tag(shape, s.g.scratch.known, s.g.scratch.ok)
			free = free && (v != yes || len(r.ranged(shape, sum, nil)) == 0)
		}
		if free {
			return at
		}
	}
}
