package coherence

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"
)

// rangedOnes are the counts of responses that BenchmarkRanges compares, from the
// fewest to the most.
var rangedOnes = []int{100, 10_000, 1_000_000}

// BenchmarkRanges is what ranges cost: a row change that is inside none of n
// of one tag, or inside ten more, and opening and closing one beside them. Its
// last lines are ratios of one run: n beside the fewest. None of it should
// grow with more than the logarithm of n.
//
// Times are medians, and leave out what prepares the next turn.
//
//	go test -vet=off -run '^$' -bench '^BenchmarkRanges$' ./internal/coherence
func BenchmarkRanges(b *testing.B) {
	cases := []struct {
		name string
		run  func(*ranged, testing.TB, func() bool) time.Duration
	}{
		{"none", func(r *ranged, t testing.TB, more func() bool) time.Duration { return r.change(t, more, nil) }},
		{"ten", func(r *ranged, t testing.TB, more func() bool) time.Duration { return r.change(t, more, r.around(10)) }},
		{"open", (*ranged).openings},
	}
	took := map[string]time.Duration{}
	for _, n := range rangedOnes {
		var r *ranged // made once, by the first of the cases that runs
		for _, c := range cases {
			b.Run(c.name+"/"+strconv.Itoa(n), func(b *testing.B) {
				if r == nil {
					r = newRanged(b, n)
				}
				median := c.run(r, b, b.Loop)
				took[b.Name()] = median
				b.ReportMetric(float64(median), "ns/op")
			})
		}
	}
	for _, c := range cases {
		name := func(n int) string { return fmt.Sprintf("%s/%s/%d", b.Name(), c.name, n) }
		fewest := took[name(rangedOnes[0])]
		if fewest == 0 {
			continue // not run
		}
		b.Run(c.name+"/ratios", func(b *testing.B) {
			for _, n := range rangedOnes[1:] {
				if many := took[name(n)]; many != 0 {
					b.ReportMetric(float64(many)/float64(fewest), fmt.Sprintf("%d/%d", n, rangedOnes[0]))
				}
			}
			b.ReportMetric(0, "ns/op") // which leaves it out
		})
	}
}

// ranged is a guard with many responses that depend on prices in Lagos: from
// and to, from on and up to, a third each. No range holds price.
type ranged struct {
	*Guard
	tx    *Transaction
	n     int
	price int
	lsn   LSN
	xid   uint32
}

func newRanged(t testing.TB, n int) *ranged {
	t.Helper()
	g, tx := benchGuard(t)
	r := &ranged{Guard: g, tx: tx, n: n, price: 10*(n/2) + 7, lsn: 10}
	holders := make([]benchHolder, n)
	for i := range holders {
		r.open(t, &holders[i], r.other(i))
	}
	runtime.GC()
	return r
}

func (r *ranged) bind(from, to string) []Dependency {
	end := func(s string) Operand {
		if s == "" {
			return Operand{}
		}
		return Operand{Present: true, Values: []string{s}}
	}
	return r.Bind(&benchList, []Operand{{Present: true, Values: []string{"Lagos"}}, {}}, []Bounds{{From: end(from), To: end(to)}})
}

// other is one of the ranges that don't hold the price; its number may be
// larger than those that are there.
func (r *ranged) other(i int) []Dependency {
	switch i % 3 {
	case 0:
		return r.bind(strconv.Itoa(10*i), strconv.Itoa(10*i+5))
	case 1:
		return r.bind(strconv.Itoa(r.price+1+i), "")
	}
	return r.bind("", strconv.Itoa(r.price-1-i))
}

// around are so many ranges that hold the price.
func (r *ranged) around(n int) (deps [][]Dependency) {
	for i := range n {
		deps = append(deps, r.bind(fmt.Sprintf("%d.%02d", r.price-1, i), fmt.Sprintf("%d.%02d", r.price, i)))
	}
	return deps
}

func (r *ranged) open(t testing.TB, h *benchHolder, deps []Dependency) {
	h.handle = Handle{}
	if !r.Open(&h.handle, h, deps) || !r.Admit(&h.handle, h) {
		t.Fatal("a response can't be opened")
	}
}

// change is the time that one update of the row with the price takes. It ends
// the responses with deps and no others.
func (r *ranged) change(t testing.TB, more func() bool, deps [][]Dependency) time.Duration {
	holders := make([]benchHolder, len(deps))
	for i := range holders {
		r.open(t, &holders[i], deps[i])
	}
	row := benchRow(1, "Lagos", "house", r.price)
	var took []time.Duration
	for more() {
		r.xid++
		r.tx.Begin(r.xid, r.lsn, time.Time{})
		r.tx.Append(0, Update, row, row, ColumnSet(1<<3))
		r.tx.Commit(r.lsn + 5)
		r.lsn += 10
		began := time.Now()
		purge := r.Apply(r.tx)
		took = append(took, time.Since(began))
		if purge.Evicted != len(deps) {
			t.Fatalf("%d responses were purged, want %d", purge.Evicted, len(deps))
		}
		r.Settle(Snapshot{XMax: uint64(r.xid) + 1})
		for i := range holders {
			r.open(t, &holders[i], deps[i])
		}
	}
	for i := range holders {
		r.Close(&holders[i].handle)
	}
	return median(took)
}

// openings is the time that opening, admitting and closing a response takes.
func (r *ranged) openings(t testing.TB, more func() bool) time.Duration {
	const batch = 64
	var deps [1024][]Dependency
	for i := range deps {
		deps[i] = r.other(i * 7919 % (r.n + len(deps)))
	}
	var took []time.Duration
	h := &benchHolder{}
	for n := 0; more(); {
		began := time.Now()
		for range batch {
			r.open(t, h, deps[n%len(deps)])
			r.Close(&h.handle)
			n++
		}
		took = append(took, time.Since(began)/batch)
	}
	return median(took)
}

func median(took []time.Duration) time.Duration {
	slices.Sort(took)
	return took[len(took)/2]
}
