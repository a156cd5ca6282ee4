package coherence

import (
	"strconv"
	"testing"
	"time"
	"unsafe"
)

// Allocations don't depend on the machine, so they are compared exactly. The
// race detector adds its own: with it only the steps themselves are run.
func TestAllocationsOfTheGuard(t *testing.T) {
	g, tx := benchGuard(t)
	detail := []Operand{{true, []string{"42"}}}
	list := []Operand{{true, []string{"Lagos"}}, {true, []string{"house"}}}
	bounds := []Bounds{{From: Operand{true, []string{"100"}}}}
	var h benchHolder
	deps := g.Bind(&benchDetail, detail, nil)
	row := benchRow(42, "Lagos", "house", 100)
	lsn, xid := LSN(10), uint32(0)
	apply := func() {
		xid++
		tx.Begin(xid, lsn, time.Time{})
		tx.Append(0, Update, row, row, ColumnSet(1<<3))
		tx.Commit(lsn + 5)
		lsn += 10
		g.Apply(tx)
		g.Settle(Snapshot{XMax: uint64(xid) + 1})
	}
	apply() // what is reused grows the first time
	for _, c := range []struct {
		name string
		want float64
		run  func()
	}{
		{"a hit's look at its handle", 0, func() { _ = h.handle.Live() && g.Proven() == 0 && g.Epoch() == 0 }},
		{"apply what nothing depends on", 0, apply},
		{"open, admit and evict by a change", 1, func() {
			if !g.Open(&h.handle, &h, deps) || !g.Admit(&h.handle, &h) {
				t.Fatal("not admitted")
			}
			apply()
			if h.handle.Live() {
				t.Fatal("not evicted")
			}
		}},
		{"open, admit and close", 1, func() {
			g.Open(&h.handle, &h, deps)
			g.Admit(&h.handle, &h)
			g.Close(&h.handle)
		}},
		{"bind one value", bindOne, func() { g.Bind(&benchDetail, detail, nil) }},
		{"bind two values and a range", bindList, func() { g.Bind(&benchList, list, bounds) }},
	} {
		if got := testing.AllocsPerRun(100, c.run); got != c.want && !raceEnabled {
			t.Errorf("%s: %.0f allocations, want %.0f", c.name, got, c.want)
		}
	}
}

// What Bind allocates: the conditions and their sums, the columns, the name of
// the shape, what is picked and the result; more for several values.
const (
	bindOne  = 5
	bindList = 11
)

// There is a node for every dependency of every cached response and a handle
// in every response: a field more in them is a field more a million times.
func TestSizesInTheIndex(t *testing.T) {
	if strconv.IntSize != 64 {
		t.Log("the sizes are those of 64 bits")
		return
	}
	if n := unsafe.Sizeof(node{}); n > 48 {
		t.Errorf("a node takes %d bytes, want at most 48", n)
	}
	if n := unsafe.Sizeof(Handle{}); n > 56 {
		t.Errorf("a handle takes %d bytes, want at most 56", n)
	}
}
