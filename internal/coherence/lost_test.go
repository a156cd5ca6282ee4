package coherence

import (
	"testing"
	"time"
)

// twoTables is a guard with a page of each of two tables.
func twoTables(t *testing.T) (g *Guard, deps [2][]Dependency, pages [2]*Handle) {
	t.Helper()
	g, err := New(Config{Tables: []Table{{Name: "public.a", Columns: []Column{{Name: "id", Kind: Integer}}}, {Name: "public.b"}}})
	if err != nil {
		t.Fatal(err)
	}
	g.Reset(1, 100)
	for i := range deps {
		deps[i] = g.Bind(&Template{Table: TableID(i)}, nil, nil)
		pages[i] = new(Handle)
		if !g.Open(pages[i], ignored{}, deps[i]) || !g.Admit(pages[i], ignored{}) {
			t.Fatal("a page is not admitted")
		}
	}
	return g, deps, pages
}

// What depends on a lost table ends and can't be stored, shared or taken from
// elsewhere, through new epochs and for conditions that were not in use; other tables stay.
func TestLostTable(t *testing.T) {
	g, deps, pages := twoTables(t)
	var fill Handle
	if !g.Open(&fill, ignored{}, deps[0]) {
		t.Fatal("the fill is not opened")
	}
	if n := g.Lose(0); n != 1 || !g.Lost(0) || g.Lost(1) {
		t.Errorf("lost with %d responses, %t, %t", n, g.Lost(0), g.Lost(1))
	}
	if pages[0].Live() || !pages[1].Live() {
		t.Errorf("live are the lost table's page %t, the other's %t", pages[0].Live(), pages[1].Live())
	}
	if g.Admit(&fill, ignored{}) {
		t.Error("a fill that was on its way is stored")
	}
	if n := g.Lose(0); n != 0 {
		t.Errorf("lost again with %d responses", n)
	}
	narrow := g.Bind(&Template{Table: 0, Equal: []Equal{{Column: 0}}}, []Operand{{Present: true, Values: []string{"7"}}}, nil)
	g.Reset(2, 200)
	for name, d := range map[string][]Dependency{"the whole table": deps[0], "a condition of its own": narrow} {
		var h Handle
		if g.Open(&h, ignored{}, d) || g.Joinable(&h) || g.Admit(&h, ignored{}) {
			t.Errorf("%s: a fill of a lost table may be stored or shared", name)
		}
		if g.OpenStored(&h, ignored{}, d, 2, 300) || g.Current(d, 2, 300) {
			t.Errorf("%s: a response that was stored elsewhere is usable", name)
		}
	}
	var other Handle
	if !g.Open(&other, ignored{}, deps[1]) {
		t.Error("a fill of another table can't be stored")
	}
}

// After Regain only what was read after the drop is usable.
func TestRegainedTable(t *testing.T) {
	g, deps, _ := twoTables(t)
	g.Lose(0)
	tx := NewTransaction(g.Tables(), 10)
	tx.Begin(7, 150, time.Time{})
	tx.Whole(0)
	tx.Commit(160)
	g.Apply(tx)
	g.Regain(0)
	var h Handle
	if g.Open(&h, ignored{}, deps[0]) {
		t.Error("a fill may be stored before the drop is visible")
	}
	g.Close(&h)
	g.Settle(Snapshot{XMin: 8, XMax: 8})
	if !g.Open(&h, ignored{}, deps[0]) || !g.Joinable(&h) || !g.Admit(&h, ignored{}) {
		t.Error("a fill can't be stored after it")
	}
	narrow := g.Bind(&Template{Table: 0, Equal: []Equal{{Column: 0}}}, []Operand{{Present: true, Values: []string{"7"}}}, nil) // not in use before
	var own Handle
	if g.Lost(0) || !g.Open(&own, ignored{}, narrow) || !g.Admit(&own, ignored{}) {
		t.Error("a fill by a condition of its own can't be stored")
	}
	if g.Current(deps[0], 1, 155) || !g.Current(deps[0], 1, 160) {
		t.Error("what was stored elsewhere goes by another position than the drop's")
	}
}
