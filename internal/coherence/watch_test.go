package coherence

import "testing"

// TestWatchKeepsWhatIsCached: a guard that watches more goes on with what it
// has, and counts nothing read before as fenced for what is new.
func TestWatchKeepsWhatIsCached(t *testing.T) {
	before := []Table{{Name: "public.t", Columns: []Column{{Name: "a", Kind: Integer}}}}
	after := []Table{
		{Name: "public.t", Columns: []Column{{Name: "a", Kind: Text}, {Name: "b", Kind: Text}}},
		{Name: "public.u", Columns: []Column{{Name: "c", Kind: Integer}}},
	}
	g, err := New(Config{Tables: before})
	if err != nil {
		t.Fatal(err)
	}
	g.Reset(1, 100)
	apply := func(xid uint32, start LSN, table TableID, values ...string) {
		t.Helper()
		tx := NewTransaction(g.Tables(), 10)
		tx.Begin(xid, start, tx.CommittedAt)
		var row []Value
		for _, v := range values {
			row = append(row, Value{State: Known, Text: []byte(v)})
		}
		tx.Append(table, Insert, nil, row, AnyColumn)
		tx.Commit(start + 10)
		g.Apply(tx)
	}
	bind := func(table TableID, column int, value string) []Dependency {
		return g.Bind(&Template{Table: table, Equal: []Equal{{Column: column}}}, []Operand{{Present: true, Values: []string{value}}}, nil)
	}
	var old Handle
	if !g.Open(&old, nobody{}, bind(0, 0, "1")) || !g.Admit(&old, nobody{}) {
		t.Fatal("nothing could be cached")
	}
	apply(7, 200, 0, "2") // pending: what is read now may not have it
	if err := g.Watch(after); err != nil {
		t.Fatal(err)
	}
	if kind := g.Tables()[0].Columns[0].Kind; kind != Integer {
		t.Errorf("a column that was watched is compared as %v now", kind)
	}
	if !old.Live() {
		t.Error("what was cached has gone")
	}
	var early Handle
	if g.Open(&early, nobody{}, bind(0, 1, "x")) {
		t.Error("a read that may be older than what was decoded for the column can be stored")
	}
	if _, ok := g.Table("public.u"); !ok {
		t.Error("the new table is not found")
	}
	g.SettleTo(210)
	var fresh, other Handle
	if !g.Open(&fresh, nobody{}, bind(0, 1, "x")) || !g.Open(&other, nobody{}, bind(1, 0, "5")) {
		t.Fatal("what is new can't be cached")
	}
	apply(8, 300, 0, "3", "x")
	if fresh.Live() || !old.Live() || !other.Live() {
		t.Errorf("after a change of t with b = x: live are %t, %t, %t", fresh.Live(), old.Live(), other.Live())
	}
	apply(9, 400, 0, "1", "y")
	apply(10, 500, 1, "5")
	if old.Live() || other.Live() {
		t.Error("changes were not seen")
	}
	for name, wrong := range map[string][]Table{
		"fewer tables":  before,
		"another table": {after[1], after[0]},
		"fewer columns": {{Name: "public.t"}, after[1]},
		"another order": {{Name: "public.t", Columns: []Column{after[0].Columns[1], after[0].Columns[0]}}, after[1]},
		"a table twice": {after[0], after[1], after[1]},
	} {
		if g.Watch(wrong) == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
