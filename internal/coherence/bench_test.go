package coherence

import (
	"fmt"
	"strconv"
	"testing"
	"time"
)

type benchHolder struct{ handle Handle }

func (*benchHolder) Evicted(Cause) {}

func benchGuard(b testing.TB) (*Guard, *Transaction) {
	b.Helper()
	tables := []Table{{Name: "public.listings", Columns: []Column{{Name: "id", Kind: Integer}, {Name: "city", Kind: Text}, {Name: "property_type", Kind: Text}, {Name: "price", Kind: Numeric}, {Name: "title", Kind: Text}}}}
	g, err := New(Config{Tables: tables})
	if err != nil {
		b.Fatal(err)
	}
	g.Reset(1, 1)
	return g, NewTransaction(tables, 10000)
}

func benchRow(id int, city, kind string, price int) []Value {
	return []Value{
		{Known, strconv.AppendInt(nil, int64(id), 10)},
		{Known, []byte(city)},
		{Known, []byte(kind)},
		{Known, fmt.Appendf(nil, "%d.00", price)},
		{Known, []byte("a title")},
	}
}

var (
	benchDetail = Template{Equal: []Equal{{Column: 0}}}
	benchList   = Template{Equal: []Equal{{Column: 1}, {Column: 2}}, Ranges: []int{3}}
)

// BenchmarkApply is one transaction of one updated row that evicts one
// response, against n cached ones. It must not depend on n.
func BenchmarkApply(b *testing.B) {
	for _, n := range []int{1000, 100_000, 1_000_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			g, tx := benchGuard(b)
			holders := make([]benchHolder, n)
			open := func(i int) {
				h := &holders[i]
				h.handle = Handle{}
				id := []Operand{{Present: true, Values: []string{strconv.Itoa(i)}}}
				g.Open(&h.handle, h, g.Bind(&benchDetail, id, nil))
				g.Admit(&h.handle, h)
			}
			for i := range n {
				open(i)
			}
			for i := range 50 {
				h := &benchHolder{}
				g.Open(&h.handle, h, g.Bind(&benchList, []Operand{{true, []string{"Lagos" + strconv.Itoa(i)}}, {}}, []Bounds{{}}))
			}
			lsn := LSN(10)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				id := (i * 7919) % n
				row := benchRow(id, "Lagos", "house", 100)
				b.StopTimer()
				tx.Begin(uint32(i), lsn, time.Time{})
				tx.Append(0, Update, row, row, ColumnSet(1<<3))
				tx.Commit(lsn + 5)
				lsn += 10
				b.StartTimer()
				g.Apply(tx)
				b.StopTimer()
				g.Settle(Snapshot{XMax: uint64(i) + 1})
				open(id)
				b.StartTimer()
			}
		})
	}
}

// BenchmarkFill is what the guard costs a miss: bind, open, admit, close.
func BenchmarkFill(b *testing.B) {
	g, _ := benchGuard(b)
	ops := []Operand{{true, []string{"Lagos"}}, {true, []string{"house"}}}
	bounds := []Bounds{{From: Operand{true, []string{"100"}}}}
	b.ReportAllocs()
	for b.Loop() {
		h := &benchHolder{}
		g.Open(&h.handle, h, g.Bind(&benchList, ops, bounds))
		g.Admit(&h.handle, h)
		g.Close(&h.handle)
	}
}

// BenchmarkBacklog is a row that nothing cached depends on, in transactions of
// 100, with 100,000 responses cached.
func BenchmarkBacklog(b *testing.B) {
	g, tx := benchGuard(b)
	for i := range 100_000 {
		h := &benchHolder{}
		g.Open(&h.handle, h, g.Bind(&benchDetail, []Operand{{true, []string{strconv.Itoa(i)}}}, nil))
	}
	row := benchRow(1_000_000, "Lagos", "house", 100)
	lsn := LSN(10)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		tx.Begin(uint32(i), lsn, time.Time{})
		for range 100 {
			tx.Append(0, Update, row, row, ColumnSet(1<<3))
		}
		tx.Commit(lsn + 5)
		lsn += 10
		g.Apply(tx)
		g.Settle(Snapshot{XMax: uint64(i) + 1})
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/row")
}
